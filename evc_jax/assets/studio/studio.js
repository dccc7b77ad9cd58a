// The keys of the page: B plays the other one of two sounds from the same moment on, Escape stops all.
(() => {
  const typing = (target) =>
    target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
    (target.tagName === "INPUT" && !/^(range|radio|checkbox|button)$/.test(target.type));

  const shown = (element) => element.offsetParent !== null;

  function switchSounds() {
    const pairs = [...document.querySelectorAll("[data-evc-pair]")].filter(shown);
    const sounding = pairs.find((pair) => [...pair.querySelectorAll("audio")].some((audio) => !audio.paused));
    const pair = sounding || pairs[0];
    if (!pair) return;
    const sounds = [...pair.querySelectorAll("audio")];
    const playing = sounds.findIndex((audio) => !audio.paused);
    const last = playing >= 0 ? playing : sounds.findIndex((audio) => "evcLast" in audio.dataset);
    const next = (last + 1) % sounds.length;
    const from = sounds[last];
    sounds.forEach((audio) => { audio.pause(); delete audio.dataset.evcLast; });
    const there = sounds[next];
    there.dataset.evcLast = "";
    if (from && from.duration > 0 && there.duration > 0) {
      const ended = from.ended || from.currentTime >= from.duration;
      there.currentTime = ended ? 0 : (from.currentTime / from.duration) * there.duration;
    }
    there.play();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "b" || event.key === "B") { switchSounds(); event.preventDefault(); }
    if (event.key === "Escape") document.querySelectorAll("audio").forEach((audio) => audio.pause());
  });

  // One sound at a time.
  document.addEventListener("play", (event) => {
    document.querySelectorAll("audio").forEach((audio) => { if (audio !== event.target) audio.pause(); });
  }, true);
})();
