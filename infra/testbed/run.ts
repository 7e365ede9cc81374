import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface RunOptions {
  /** Replaces single variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which it is killed. Default: none. */
  readonly within?: number;
  /** What it is called in errors, where the command is a wrapper. */
  readonly title?: string;
}

/** Runs a command to its end. Rejects with all it printed when it fails, or with what to do when it is not installed. */
export async function run(command: string, args: readonly string[], input = '', { env, within, title }: RunOptions = {}): Promise<string> {
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: within,
    killSignal: 'SIGKILL',
  });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  // A command that ends without reading its input is judged by its exit code.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const ended = once(child, 'close').catch((error: NodeJS.ErrnoException) => {
    const need = command === 'java' ? 'broker' : 'directory';
    const missing = `${command} is not installed: node infra/setup.mjs --need ${need} -- true`;
    throw new Error(error.code === 'ENOENT' ? missing : error.message, { cause: error });
  });
  const [code, signal] = (await ended) as [number | null, string | null];
  const text = Buffer.concat(output).toString();
  if (code !== 0) {
    const how = signal === 'SIGKILL' && within !== undefined ? `no answer within ${within} ms` : (signal ?? `exit code ${code}`);
    throw new Error(`${title ?? command} failed with ${how}:\n${text}${Buffer.concat(errors).toString()}`);
  }
  return text;
}
