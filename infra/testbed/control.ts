import { once } from 'node:events';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

/** What one process asks of the one that owns a bed's parts. */
export interface Order {
  readonly command: string;
  readonly args: readonly string[];
}

type Answer = { readonly done: string } | { readonly failed: string };

const SOCKET = 'control.sock';

/** Carries out orders, one after the other, that come through a socket in this directory. What an order rejects with is its answer. */
export async function takeOrders(path: string, carryOut: (order: Order) => Promise<string>): Promise<AsyncDisposable> {
  await rm(join(path, SOCKET), { force: true });
  let last: Promise<unknown> = Promise.resolve();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    last = last.then(() => answer(socket, carryOut));
  });
  const directory = await open(path);
  server.listen(socketIn(directory));
  await once(server, 'listening');
  return {
    [Symbol.asyncDispose]: async () => {
      server.close();
      await directory.close();
    },
  };
}

async function answer(socket: Socket, carryOut: (order: Order) => Promise<string>): Promise<void> {
  const outcome = await text(socket)
    .then(async (line): Promise<Answer> => ({ done: await carryOut(JSON.parse(line)) }))
    .catch((error): Answer => ({ failed: error instanceof Error ? error.message : String(error) }));
  socket.end(JSON.stringify(outcome));
}

/** @returns what it says when it is done; rejects with what it says when it failed, or when nobody takes orders in this directory */
export async function giveOrder(path: string, order: Order): Promise<string> {
  await using directory = await open(path);
  const socket = connect({ path: socketIn(directory), allowHalfOpen: true });
  socket.end(JSON.stringify(order));
  const outcome = JSON.parse(await text(socket)) as Answer;
  if ('failed' in outcome) {
    throw new Error(outcome.failed);
  }
  return outcome.done;
}

/** The address of a socket has room for some hundred characters, a directory's path may be longer. */
function socketIn(directory: FileHandle): string {
  return `/proc/self/fd/${directory.fd}/${SOCKET}`;
}
