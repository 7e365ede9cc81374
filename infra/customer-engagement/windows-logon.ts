import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

export interface WindowsLogonSettings {
  /** Who may log on: `DOMAIN\\name`. */
  readonly user: string;
  readonly helper: readonly string[];
}

/** What is known of a connection: who it is, or the next token for it; `refused` when it is not to be let in. */
export type Verdict = { readonly who: string } | { readonly token: string } | 'refused';

/**
 * NTLM as IIS has it: what is logged on is the connection. The messages are judged by a domain controller, by way of a helper process
 * for each connection.
 */
export class WindowsLogons {
  readonly #settings: WindowsLogonSettings;
  readonly #connections = new WeakMap<Socket, Handshake>();

  constructor(settings: WindowsLogonSettings) {
    this.#settings = settings;
  }

  /** @param message of the Authorization header, when there is one; a connection that is logged on needs none */
  async judge(socket: Socket, message: string | undefined): Promise<Verdict> {
    const known = this.#connections.get(socket);
    if (message === undefined) return known?.who === undefined ? 'refused' : { who: known.who };
    const isFirst = Buffer.from(message, 'base64').readUInt32LE(8) === 1;
    const handshake = isFirst || known === undefined ? new Handshake(this.#settings.helper) : known;
    if (handshake !== known) {
      known?.end();
      this.#connections.set(socket, handshake);
      socket.once('close', () => handshake.end());
    }
    const verdict = await handshake.take(message);
    const isAllowed = typeof verdict !== 'object' || !('who' in verdict) || verdict.who.toLowerCase() === this.#settings.user.toLowerCase();
    return isAllowed ? verdict : 'refused';
  }
}

class Handshake {
  who: string | undefined;
  readonly #helper: ChildProcess;
  #output = '';
  #wake: () => void = () => {};

  constructor([command = '', ...args]: readonly string[]) {
    this.#helper = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
    this.#helper.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
      this.#wake();
    });
    this.#helper.on('close', () => this.#wake());
    this.#helper.on('error', () => this.#wake());
    this.#helper.stdin?.on('error', () => {});
  }

  async take(message: string): Promise<Verdict> {
    const isFirst = Buffer.from(message, 'base64').readUInt32LE(8) === 1;
    this.#helper.stdin?.write(`${isFirst ? 'YR' : 'KK'} ${message}\n`);
    const [what, ...rest] = (await this.#line()).split(' ');
    if (what === 'TT') return { token: rest.join(' ') };
    if (what !== 'AF') return 'refused';
    this.who = rest.join(' ');
    return { who: this.who };
  }

  end(): void {
    this.#helper.kill('SIGKILL');
  }

  async #line(): Promise<string> {
    while (!this.#output.includes('\n')) {
      if (this.#helper.exitCode !== null || this.#helper.signalCode !== null) return 'BH';
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const end = this.#output.indexOf('\n');
    const line = this.#output.slice(0, end);
    this.#output = this.#output.slice(end + 1);
    return line;
  }
}
