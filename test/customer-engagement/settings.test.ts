import { describe, expect, test } from 'vitest';
import { certificate, httpServer } from '../support/http-server.ts';
import { clientOf, failing, ID, json } from './support.ts';

describe('settings that cannot be used are refused at once', () => {
  test.each([
    ['http: without being asked for', { url: 'http://crm.example.test/contoso', allowClearText: false }, /https:/],
    ['another scheme', { url: 'ftp://crm.example.test/contoso' }, /https:/],
    ['no address', { url: 'crm.example.test/contoso' }, /url/],
    ['credentials', { url: 'https://u:secret@crm.example.test/contoso' }, /credentials/],
    ['a query', { url: 'https://crm.example.test/contoso?x' }, /without/],
    ['a CA file that is not there', { url: 'https://crm.example.test/contoso', caFile: '/nowhere/ca.pem' }, /nowhere/],
  ])('%s', (_, settings, message) => {
    expect(() => clientOf('', settings)).toThrow(message);
    expect(() => clientOf('', settings)).not.toThrow(/secret/);
  });
});

describe('TLS', () => {
  test('a private authority is trusted by its file', async () => {
    using own = certificate('IP:127.0.0.1');
    await using server = await httpServer((response) => json(response, 200, { UserId: ID }), own);
    const ce = clientOf(server.origin, { caFile: own.file, allowClearText: false });
    expect(await ce.whoAmI()).toBe(ID);
    await ce.close();
  });

  test.each([
    ['of an unknown authority', 'IP:127.0.0.1', 'IP:127.0.0.1', /caFile/],
    ['without any caFile', 'IP:127.0.0.1', undefined, /caFile/],
    ['for another name', 'DNS:other.example.test', 'same', /another name/],
  ])('a certificate %s: nothing is sent, and the message says what to do', async (_, name, trusted, message) => {
    using own = certificate(name);
    using other = certificate(trusted === 'same' ? name : 'IP:127.0.0.1');
    const caFile = trusted === undefined ? undefined : trusted === 'same' ? own.file : other.file;
    await using server = await httpServer((response) => json(response, 200, { UserId: ID }), own);
    const ce = clientOf(server.origin, { caFile });
    const error = await failing(ce.setDomainName(ID, 'CORP\\lee'));
    expect(error).toMatchObject({ failure: 'transient', message: expect.stringMatching(message) });
    expect(server.received).toHaveLength(0);
    await ce.close();
  });

  test('a server without TLS where it is expected', async () => {
    await using server = await httpServer((response) => json(response, 200, { UserId: ID }));
    const ce = clientOf(server.origin.replace('http:', 'https:'));
    expect((await failing(ce.setDomainName(ID, 'CORP\\lee'))).failure).toBe('transient');
    expect(server.received).toHaveLength(0);
    await ce.close();
  });
});
