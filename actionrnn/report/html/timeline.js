{
  const video = document.getElementById("video");
  const strips = document.getElementById("strips");
  const head = document.getElementById("head");
  const [begin, end] = [Number(strips.dataset.begin), Number(strips.dataset.end)];
  const rows = [...document.querySelectorAll("#segments tbody tr")];
  const seconds = (row, column) => Number(row.cells[column].dataset.sort);
  const mark = (now) => {
    head.style.left = `${100 * Math.min(Math.max((now - begin) / (end - begin), 0), 1)}%`;
    for (const row of rows) {
      row.classList.toggle("now", seconds(row, 1) <= now && now < seconds(row, 2));
    }
  };
  const play = (moment) => {
    mark(moment);
    if (!video) return;
    video.currentTime = moment;
    video.play().catch(() => {});
  };
  for (const row of rows) {
    row.tabIndex = 0;
    row.addEventListener("click", () => play(seconds(row, 1)));
    row.addEventListener("keydown", (event) => {
      if (event.key === "Enter") play(seconds(row, 1));
    });
  }
  strips.addEventListener("click", (event) => {
    const box = strips.getBoundingClientRect();
    play(begin + (end - begin) * (event.clientX - box.left) / box.width);
  });
  document.getElementById("zoom").addEventListener("input", (event) => {
    strips.style.width = `${100 * 2 ** Number(event.target.value)}%`;
  });
  if (video) {
    video.addEventListener("timeupdate", () => mark(video.currentTime));
    const trouble = document.getElementById("trouble");
    const failed = () => { trouble.hidden = false; };
    video.addEventListener("error", failed);
    if (video.error) failed();
    video.addEventListener("loadedmetadata", () => {
      trouble.hidden = video.videoWidth > 0;  // the sound alone may be all that it plays
    });
    document.getElementById("file").addEventListener("change", (event) => {
      video.src = URL.createObjectURL(event.target.files[0]);
    });
  }
}
