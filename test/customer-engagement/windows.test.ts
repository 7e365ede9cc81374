import { describe, expect, test } from 'vitest';
import { kerberos } from '../../src/customer-engagement/kerberos.ts';
import type { Answer, Connection, Request } from '../../src/customer-engagement/transport.ts';
import { type Mechanism, MechanismUnavailable, windows } from '../../src/customer-engagement/windows.ts';

const GET: Request = { method: 'GET', path: '/', headers: {} };
const PATCH: Request = { method: 'PATCH', path: '/', headers: {}, body: '{}' };

function answer(status: number, challenge?: string): Answer {
  return { status, headers: challenge === undefined ? {} : { 'www-authenticate': challenge }, body: Buffer.alloc(0) };
}

/** Gives this answer to whatever is sent, and notes it. */
function connection(given: Answer): Connection & { sent: Request[] } {
  const sent: Request[] = [];
  return {
    number: 1,
    certificate: undefined,
    sent,
    exchange: async (request) => {
      sent.push(request);
      return given;
    },
  };
}

/** Plays the native library: the server's token is a proof when it is this one. */
const PROOF = Buffer.from('it is me').toString('base64');
const library = async () => ({
  GSS_MECH_OID_SPNEGO: 'spnego',
  initializeClient: async () => {
    let complete = false;
    return {
      step: async (challenge: string) => {
        if (challenge !== '' && challenge !== PROOF) throw new Error('A token had an invalid signature');
        complete = challenge === PROOF;
        return 'dGlja2V0';
      },
      get contextComplete() {
        return complete;
      },
    };
  },
});

const byKerberos = (mutual = true) => kerberos({ service: 'HTTP@crm.test', mutual, deadline: 1_000 }, library);

describe('Kerberos: a server proves who it is', () => {
  test('by the token of its answer', async () => {
    const server = connection(answer(200, `Negotiate ${PROOF}`));
    expect(await byKerberos().send(GET, server)).toMatchObject({ status: 200 });
    expect(server.sent).toEqual([{ ...GET, headers: { authorization: 'Negotiate dGlja2V0' } }]);
  });

  test.each([
    ['sends no token', answer(200)],
    ['sends an empty one', answer(200, 'Negotiate')],
    ['sends one of somebody else', answer(200, 'Negotiate Zm9yZ2Vk')],
  ])('one that %s is not believed', async (_, given) => {
    await expect(byKerberos().send(GET, connection(given))).rejects.toMatchObject({
      failure: 'credentials',
      message: expect.stringContaining('did not prove who it is'),
    });
    // It may have been written, wherever it went.
    await expect(byKerberos().send(PATCH, connection(given))).rejects.toMatchObject({ failure: 'unknown-outcome' });
    expect(await byKerberos(false).send(GET, connection(given))).toMatchObject({ status: 200 });
  });

  test('one that refuses the ticket leaves it to the next mechanism, and nothing is done', async () => {
    await expect(byKerberos().send(PATCH, connection(answer(401, 'Negotiate')))).rejects.toThrow(MechanismUnavailable);
    await expect(byKerberos().send(PATCH, connection(answer(401, 'NTLM')))).rejects.toThrow('the server does not offer it');
  });
});

describe('the order of preference', () => {
  test('each change of the mechanism is told, once, also when the preferred one comes back', async () => {
    let reason: string | undefined;
    const first: Mechanism = {
      name: 'kerberos',
      send: async () => {
        if (reason !== undefined) throw new MechanismUnavailable(reason);
        return answer(200);
      },
    };
    const second: Mechanism = { name: 'ntlm', send: async () => answer(204) };
    const told: string[] = [];
    const auth = windows([first, second], (message) => told.push(message));
    const statuses: number[] = [];
    for (reason of [undefined, 'no KDC', 'no KDC', 'no ticket', undefined, undefined]) {
      statuses.push((await auth.send(GET, connection(answer(500)))).status);
    }
    expect(statuses).toEqual([200, 204, 204, 204, 200, 200]);
    expect(told).toEqual([
      'logging on by ntlm, since kerberos cannot be used: no KDC',
      'logging on by ntlm, since kerberos cannot be used: no ticket',
      'logging on by kerberos again',
    ]);
  });

  test('one that fails is no reason for a weaker one', async () => {
    const broken: Mechanism = {
      name: 'kerberos',
      send: async () => {
        throw new Error('cut off');
      },
    };
    const weaker: Mechanism = { name: 'ntlm', send: async () => expect.unreachable() };
    await expect(windows([broken, weaker], () => {}).send(GET, connection(answer(200)))).rejects.toThrow('cut off');
  });
});
