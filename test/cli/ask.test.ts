import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';

const PROGRAM = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const USER = 'CORP\\admin-of-a-test';
const PASSWORD = 'pass:wörd-of-a-test';

let path: string;

beforeAll(() => {
  path = mkdtempSync(join(tmpdir(), 'namesake-ask-'));
  const directory = { urls: ['ldaps://127.0.0.1:1'], bindDn: 'svc', passwordFile: join(path, 'password'), deadline: '1s' };
  writeFileSync(join(path, 'namesake.yaml'), stringify({ directories: [directory], stateDirectory: path }));
});

afterAll(() => {
  rmSync(path, { recursive: true });
});

/** A command on a pseudo-terminal (script of util-linux), which echoes what is typed unless the command sees to it. */
class Terminal implements AsyncDisposable {
  shown = '';
  readonly #child;
  readonly #ended: Promise<unknown[]>;

  constructor(args: readonly string[]) {
    const command = [process.execPath, PROGRAM, ...args].map((word) => `'${word}'`).join(' ');
    this.#child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], { stdio: 'pipe' });
    this.#ended = once(this.#child, 'close');
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.shown += chunk.toString();
    });
  }

  async see(text: string): Promise<void> {
    await expect.poll(() => this.shown, { timeout: 10_000 }).toContain(text);
  }

  type(text: string): void {
    this.#child.stdin.write(text);
  }

  async ended(): Promise<unknown> {
    const [code] = await this.#ended;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#ended;
  }
}

const create = () => new Terminal(['parking', 'create', '1', '--ou', 'OU=Parking,DC=x', '--config', join(path, 'namesake.yaml')]);

test('a password is not shown while it is typed at a terminal, whatever else is', async () => {
  await using terminal = create();
  await terminal.see('Account that may make others');
  terminal.type(`${USER}\r`);
  await terminal.see('Its password: ');
  // By its letters, with one taken back.
  for (const letter of `${PASSWORD}x\u007f`) terminal.type(letter);
  terminal.type('\r');
  expect(await terminal.ended()).toBe(1);
  expect(terminal.shown).toContain(USER);
  expect(terminal.shown).toMatch(/127\.0\.0\.1.*(ECONNREFUSED|reached|refused)/);
  for (const part of ['pass:', 'wörd', '-of-a-testx']) expect(terminal.shown).not.toContain(part);
});

test('nor when both lines are pasted at once', async () => {
  await using terminal = create();
  await terminal.see('Account that may make others');
  terminal.type(`${USER}\r${PASSWORD}\r`);
  await terminal.see('Its password: ');
  // What was pasted with the other line is not taken for it.
  terminal.type(`${PASSWORD}\r`);
  expect(await terminal.ended()).toBe(1);
  expect(terminal.shown).toContain(USER);
  expect(terminal.shown).not.toContain('wörd');
});

test('nor when Ctrl+C ends the question', async () => {
  await using terminal = create();
  await terminal.see('Account that may make others');
  terminal.type(`${USER}\r`);
  await terminal.see('Its password: ');
  terminal.type('secret\u0003');
  expect(await terminal.ended()).toBe(1);
  expect(terminal.shown).toContain('nothing was entered');
  expect(terminal.shown).not.toContain('secret');
});
