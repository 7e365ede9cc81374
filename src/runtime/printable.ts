/** Control characters, breaks of lines and paragraphs, and what turns the direction of the text that follows. */
const HARMFUL = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu;

/** Text for a terminal, in which names and messages of a directory can neither begin a line of their own nor command the terminal. */
export function printable(text: string): string {
  return text.replace(HARMFUL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
