// The page's words, in the reader's language. A language is a file that has what words.en.js has.
const KEPT = "event-platform language";
export const LANGUAGES = { en: "English", ru: "Русский" };

/** @returns {string | null} */
const chosen = () => {
  try { return localStorage.getItem(KEPT); } catch { return null; }
};

const wanted = [chosen(), ...navigator.languages].map((each) => (each || "").slice(0, 2).toLowerCase());

/** @type {"en" | "ru"} */
export const language = wanted.find((each) => each in LANGUAGES) === "ru" ? "ru" : "en";

/** @type {{ words: typeof import("./words.en.js").words }} */
const spoken = language === "ru" ? await import("./words.ru.js") : await import("./words.en.js");

export const words = spoken.words;

/** @param {string} other */
export const speak = (other) => {
  try { localStorage.setItem(KEPT, other); } catch { /* Then it is asked for anew each time. */ }
  location.reload();
};

/**
 * A time as the reader writes it.
 * @param {string} moment
 */
export const time = (moment) =>
  new Date(moment).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });

/** @param {number} count */
export const number = (count) => count.toLocaleString(language);
