// Light or dark before anything is painted: by the system, unless the switch says otherwise.
(() => {
  const THEMES = ["system", "light", "dark"];
  const stored = () => {
    try {
      return localStorage.getItem("lexirec-theme") || "system";
    } catch {
      return "system";
    }
  };
  const apply = (theme) => {
    if (theme === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", theme);
  };
  apply(stored());
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      button.title = "Light or dark colours; Auto follows the system";
      button.textContent = { system: "Auto", light: "Light", dark: "Dark" }[stored()];
    };
    button.addEventListener("click", () => {
      const next = THEMES[(THEMES.indexOf(stored()) + 1) % THEMES.length];
      try {
        localStorage.setItem("lexirec-theme", next);
      } catch {
        /* a browser without storage keeps the theme for this page only */
      }
      apply(next);
      label();
    });
    label();
  });
})();
