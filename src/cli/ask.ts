import { stdin, stdout } from 'node:process';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { CommandError } from './context.ts';

/** Asks for a line on the terminal, where a secret is not shown, or reads the next one of what is piped in. @throws CommandError when there is none */
export async function ask(question: string, { secret = false } = {}): Promise<string> {
  if (!stdin.isTTY) return await nextLine(question);
  stdout.write(question);
  // With `terminal` the terminal itself shows nothing of what is typed: the interface does, on its output.
  const lines = createInterface({ input: stdin, output: secret ? nowhere() : stdout, prompt: '', terminal: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', (line) => {
        resolve(line);
        // At once, since what was pasted after this line may be a secret.
        lines.close();
      });
      lines.once('close', () => reject(new CommandError('nothing was entered')));
    });
  } finally {
    if (secret) stdout.write('\n');
  }
}

function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

let piped: AsyncIterator<string> | undefined;

async function nextLine(question: string): Promise<string> {
  piped ??= createInterface({ input: stdin })[Symbol.asyncIterator]();
  const { value, done } = await piped.next();
  if (done) throw new CommandError(`${question.replace(/:? *$/, '')} was expected on standard input`);
  return value;
}
