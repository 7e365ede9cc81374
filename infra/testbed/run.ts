import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Runs a command to its end. Rejects with all it printed when it fails, or with what to do when it is not installed. */
export async function run(command: string, args: readonly string[], input = '', env: Record<string, string> = {}): Promise<string> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
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
    throw new Error(`${command} failed with ${signal ?? `exit code ${code}`}:\n${text}${Buffer.concat(errors).toString()}`);
  }
  return text;
}
