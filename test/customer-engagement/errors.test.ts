import { expect, test } from 'vitest';
import { failing, html, ID, json, pair } from './support.ts';

const fault = (message: string) => ({
  message,
  type: 'System.ServiceModel.FaultException`1[[Microsoft.Xrm.Sdk.OrganizationServiceFault, Microsoft.Xrm.Sdk, Version=8.0.0.0]]',
  stacktrace: '   at Microsoft.Crm.Extensibility.OData.CrmODataExecutionContext.Update(secret)',
});

test.each([
  [
    '8.2',
    500,
    { code: '', message: 'The specified Active Directory user already exists as a CRM user.', innererror: fault('x') },
    undefined,
  ],
  [
    '8.2 with the text inside',
    500,
    { code: '', message: 'An error has occurred.', innererror: fault('The specified Active Directory user already exists as a CRM user.') },
    undefined,
  ],
  [
    '9.0',
    500,
    { code: '', message: 'The specified Active Directory user already exists as a Dynamics 365 user.', innererror: fault('x') },
    undefined,
  ],
  ['9.1', 400, { code: '0x80041d2c', message: 'The specified Active Directory user already exists as a Dynamics 365 user.' }, 0x80041d2c],
  [
    'a server with odd parts',
    500,
    { code: null, message: 'The specified Active Directory user already exists as a CRM user.', innererror: null },
    undefined,
  ],
  ['9.1 in capitals and German', 400, { code: '0x80041D2C', message: 'The specified Active Directory user already exists' }, 0x80041d2c],
])('the error body of %s', async (_, status, error, code) => {
  await using at = await pair((response) => json(response, status, { error }));
  const refusal = await failing(at.ce.setDomainName(ID, 'CORP\\lee'));
  expect(refusal).toMatchObject({ failure: 'held', status, code });
  expect(refusal.message).toContain('The specified Active Directory user already exists');
});

test('says which privileges are needed', async () => {
  const message = 'Principal user (Id=9f1b0a6e-51c2-4c8e-9d55-0123456789ab, type=8) is missing prvWriteUser privilege';
  await using at = await pair((response) => json(response, 403, { error: { code: '0x80040220', message } }));
  expect(await failing(at.ce.setDomainName(ID, 'CORP\\lee'))).toMatchObject({
    failure: 'privilege',
    code: 0x80040220,
    message: expect.stringContaining('prvReadUser and prvWriteUser'),
  });
});

test('a long message is cut, and stays on one line', async () => {
  await using at = await pair((response) => json(response, 400, { error: { code: '0x0', message: 'No.\r\n\u001b[31m'.repeat(500) } }));
  const { message, code } = await failing(at.ce.whoAmI());
  expect(message).not.toMatch(/\p{Cc}/u);
  expect(code).toBe(0);
});

test('says what is wrong with the address', async () => {
  await using at = await pair((response) => html(response, 404));
  expect((await failing(at.ce.whoAmI())).message).toContain('check url and apiVersion');
});

test.each([
  ['seconds', '120', 120_000],
  ['nothing', '0', 0],
  ['a year', '31536000', 86_400_000],
  ['a date gone by', 'Wed, 21 Oct 2015 07:28:00 GMT', 0],
  ['nonsense', 'soon', undefined],
])('Retry-After of %s', async (_, header, expected) => {
  await using at = await pair((response) => html(response, 503, { 'retry-after': header }));
  expect((await failing(at.ce.whoAmI())).retryAfter).toBe(expected);
  expect((await failing(at.ce.setDomainName(ID, 'CORP\\lee'))).retryAfter).toBe(expected);
});

test('Retry-After of a date to come', async () => {
  await using at = await pair((response) => html(response, 503, { 'retry-after': new Date(Date.now() + 60_000).toUTCString() }));
  const { retryAfter } = await failing(at.ce.whoAmI());
  expect(retryAfter).toBeGreaterThan(50_000);
  expect(retryAfter).toBeLessThanOrEqual(60_000);
});
