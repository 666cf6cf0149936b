// Before anything is drawn: light or dark as it was chosen, else as the system has it. No module, so that it is first.
try {
  const chosen = localStorage.getItem("nulltext-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // a browser may keep nothing
}
