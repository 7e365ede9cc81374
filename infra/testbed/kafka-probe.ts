import { once } from 'node:events';
import { connect } from 'node:net';

/** What a broker says about its cluster. */
export interface ClusterView {
  readonly brokers: readonly number[];
  /** Absent while there is none. */
  readonly controller: number | undefined;
}

const METADATA = 3;
const VERSION = 1;
const NO_CONTROLLER = -1;

/** One Metadata request on a connection of its own, without any client library: none retries or prints on behalf of the test bed. */
export async function askForCluster(host: string, port: number, deadline: number): Promise<ClusterView> {
  const socket = connect({ host, port, signal: AbortSignal.timeout(deadline) });
  try {
    await once(socket, 'connect');
    socket.write(request());
    let answer = Buffer.alloc(0);
    for await (const chunk of socket) {
      answer = Buffer.concat([answer, chunk as Buffer]);
      if (answer.length >= 4 && answer.length >= 4 + answer.readInt32BE(0)) {
        return parse(answer);
      }
    }
    throw new Error(`${host}:${port} closed the connection without an answer`);
  } finally {
    socket.destroy();
  }
}

/** Size, API, version, correlation, no client id, no topics. */
function request(): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.writeInt32BE(14, 0);
  bytes.writeInt16BE(METADATA, 4);
  bytes.writeInt16BE(VERSION, 6);
  bytes.writeInt32BE(0, 8);
  bytes.writeInt16BE(-1, 12);
  bytes.writeInt32BE(0, 14);
  return bytes;
}

/** Size, correlation, brokers (id, host, port, rack), controller, topics. */
function parse(bytes: Buffer): ClusterView {
  let at = 8;
  const int32 = () => {
    at += 4;
    return bytes.readInt32BE(at - 4);
  };
  const skipString = () => {
    at += 2 + Math.max(0, bytes.readInt16BE(at));
  };
  const brokers = Array.from({ length: int32() }, () => {
    const id = int32();
    skipString();
    int32();
    skipString();
    return id;
  });
  const controller = int32();
  return { brokers, controller: controller === NO_CONTROLLER ? undefined : controller };
}
