import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { fingerprint } from './paths.ts';

/** A loopback address that no other bed uses while this one lives; released with the process at the latest. */
export interface AddressClaim extends AsyncDisposable {
  readonly address: string;
}

// Below the range of outgoing connections. Listening here is the claim itself.
const CLAIM_PORT = 23_890;
const ATTEMPTS = 40;

/** The same path gets the same address again where it can. `ports` must be free there too. */
export async function claimAddress(path: string, ports: readonly number[]): Promise<AddressClaim> {
  let taken: unknown;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const hash = Number.parseInt(fingerprint(path, String(attempt)).slice(0, 8), 16);
    const address = `127.0.${1 + (hash % 254)}.${2 + (Math.floor(hash / 254) % 252)}`;
    const claim = await listen(address, CLAIM_PORT).catch(() => undefined);
    if (claim === undefined) {
      continue;
    }
    try {
      for (const port of ports) {
        await close(await listen(address, port));
      }
      claim.unref();
      return { address, [Symbol.asyncDispose]: () => close(claim) };
    } catch (error) {
      await close(claim);
      taken = error;
    }
  }
  throw new Error(`no free address for a test bed among ${ATTEMPTS} tried on loopback`, { cause: taken });
}

async function listen(host: string, port: number): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  server.listen({ host, port, exclusive: true });
  await once(server, 'listening');
  return server;
}

async function close(server: Server): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
}
