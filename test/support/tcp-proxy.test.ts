import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { TcpProxy } from './tcp-proxy.ts';

/** A server that answers with what it is told, and a client of it by way of the proxy. */
async function connected(): Promise<{ proxy: TcpProxy; client: Socket; heard: () => string; again: () => Socket }> {
  let heard = '';
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      heard += chunk.toString();
      socket.write(chunk);
    });
    socket.on('end', () => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  const proxy = await TcpProxy.start({ host: '127.0.0.1', port: address.port });
  const again = () => {
    const socket = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    return socket;
  };
  const client = again();
  onTestFinished(async () => {
    client.destroy();
    await proxy[Symbol.asyncDispose]();
    server.close();
  });
  return { proxy, client, heard: () => heard, again };
}

async function answer(client: Socket, question: string): Promise<string> {
  client.write(question);
  const [chunk] = (await once(client, 'data')) as [Buffer];
  return chunk.toString();
}

/** Unlike `once`, it does not mind the error that comes first. */
async function closing(client: Socket): Promise<void> {
  await new Promise((resolve) => client.once('close', resolve));
}

it('passes what both say, and delays answers', async () => {
  const { proxy, client } = await connected();
  expect(await answer(client, 'one')).toBe('one');
  proxy.delay = 200;
  const begun = performance.now();
  expect(await answer(client, 'two')).toBe('two');
  expect(performance.now() - begun).toBeGreaterThan(190);
});

it('corrupts answers while it is told to', async () => {
  const { proxy, client, heard } = await connected();
  proxy.corrupting = true;
  expect(await answer(client, 'a')).toBe('`');
  expect(heard()).toBe('a');
  proxy.corrupting = false;
  expect(await answer(client, 'a')).toBe('a');
});

it('half-closes: the client hears the end and is heard still', async () => {
  const { proxy, client, heard } = await connected();
  expect(await answer(client, 'one')).toBe('one');
  client.resume();
  const [ended, closed] = [once(client, 'end'), once(client, 'close')];
  proxy.halfClose();
  await ended;
  client.end('two');
  await closed;
  await expect.poll(heard).toBe('onetwo');
});

it('passes on an end of the client, after which the last answer still comes', async () => {
  const { proxy, client } = await connected();
  proxy.delay = 100;
  const ended = once(client, 'end');
  const said = once(client, 'data');
  client.end('last');
  expect(String((await said)[0])).toBe('last');
  await ended;
});

it('cuts what there is, and refuses what is new until it is told otherwise', async () => {
  const { proxy, client, again } = await connected();
  expect(await answer(client, 'there')).toBe('there');
  proxy.refusing = true;
  expect(await answer(client, 'still there')).toBe('still there');
  await closing(again());
  const closed = closing(client);
  proxy.cut();
  await closed;
  proxy.refusing = false;
  const other = again();
  expect(await answer(other, 'back')).toBe('back');
  other.destroy();
});
