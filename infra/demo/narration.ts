import { styleText } from 'node:util';

/** What the demo prints: each line with the seconds since the beginning. */
export class Narration {
  readonly #begun = performance.now();

  chapter(title: string): void {
    console.log(`\n${styleText('bold', title)}`);
  }

  line(text: string, mark: 'good' | 'bad' | 'plain' = 'plain'): void {
    const seconds = ((performance.now() - this.#begun) / 1000).toFixed(2).padStart(6);
    const sign = { good: styleText('green', '✔ '), bad: styleText('red', '✘ '), plain: '' }[mark];
    console.log(`${styleText('dim', `${seconds} s`)}  ${sign}${text}`);
  }

  table(rows: readonly (readonly string[])[]): void {
    const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
    rows.forEach((row, index) => {
      const text = row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
      console.log(`  ${index === 0 ? styleText('dim', text.trimEnd()) : text.trimEnd()}`);
    });
  }
}
