import { stdin, stdout } from 'node:process';
import { createInterface } from 'node:readline';
import { CommandError } from './context.ts';

/** Asks for a line on the terminal, or reads the next one of what is piped in. */
export async function ask(question: string, { secret = false } = {}): Promise<string> {
  if (!stdin.isTTY) return await nextLine(question);
  stdout.write(question);
  const lines = createInterface({ input: stdin, output: stdout, terminal: true });
  // What is typed is echoed by the interface, not by the terminal.
  if (secret) Object.assign(lines, { _writeToOutput: () => {} });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      lines.once('close', () => reject(new CommandError('nothing was entered')));
    });
  } finally {
    lines.removeAllListeners('close');
    lines.close();
    if (secret) stdout.write('\n');
  }
}

let piped: AsyncIterator<string> | undefined;

async function nextLine(question: string): Promise<string> {
  piped ??= createInterface({ input: stdin })[Symbol.asyncIterator]();
  const { value, done } = await piped.next();
  if (done) throw new CommandError(`${question.replace(/:? *$/, '')} was expected on standard input`);
  return value;
}
