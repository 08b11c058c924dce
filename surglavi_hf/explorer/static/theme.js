// Before the first picture, so that nothing flashes.
{
  const chosen = localStorage.getItem("surglavi.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
}
