import { describe, expect, test } from 'vitest';
import { failureOf, REFUSALS, type Refusal } from '../../src/customer-engagement/refusals.ts';

const label = (row: Refusal) => `${row.name} is ${row.failure}`;
const withCode = REFUSALS.filter((row) => row.code !== undefined);
const withText = REFUSALS.filter((row) => row.text !== undefined);

describe('a refusal is known', () => {
  test.each(withCode.map((row) => [label(row), row] as const))('by its code, whatever status and language: %s', (_, row) => {
    for (const status of [400, 403, 404, 412, 500]) {
      const facts = { status, code: row.code, message: 'Ein Fehler ist aufgetreten.' };
      expect(failureOf(facts, 'read')).toBe(row.failure);
      expect(failureOf(facts, 'write')).toBe(row.write ?? row.failure);
    }
  });

  test.each(withText.map((row) => [label(row), row] as const))('by its text where there is no code: %s', (_, row) => {
    for (const code of [undefined, 0]) {
      const facts = { status: 500, code, message: `An error has occurred.\nThe ${row.text?.toUpperCase()} something` };
      expect(failureOf(facts, 'read')).toBe(row.failure);
      expect(failureOf(facts, 'write')).toBe(row.write ?? row.failure);
    }
  });

  test('once: no code and no text stands in two rows', () => {
    const codes = withCode.map((row) => row.code);
    const texts = withText.map((row) => row.text?.toLowerCase());
    expect(new Set(codes).size).toBe(codes.length);
    expect(new Set(texts).size).toBe(texts.length);
  });

  test('with its source', () => {
    for (const row of REFUSALS) expect(row.source).not.toBe('');
  });
});

/** Whole messages as servers of the three versions send them, in the documented or reported wording. */
test.each([
  ['The specified Active Directory user already exists as a CRM user.', 'held'],
  ['The specified Active Directory user already exists as a Dynamics 365 user.', 'held'],
  ['You are attempting to create a user with a domain logon that is already used by another user.', 'held'],
  ['The object does not exist in active directory.', 'not-in-directory'],
  ['LookupAccountNameW failed with error', 'not-in-directory'],
  ['Active Directory Error.', 'not-in-directory'],
  ['Invalid domain account', 'not-in-directory'],
  ['The caller cannot change their own domain name', 'impossible'],
  ['The user representing an OAuth application cannot not be updated', 'impossible'],
  ['The delegated admin user cannot not be updated', 'impossible'],
  ['The support user cannot be updated', 'impossible'],
  ['Principal user (Id=9f1b0a6e-0000-4000-8000-000000000001, type=8) is missing prvWriteUser privilege (Id=1)', 'privilege'],
  ['The specified user is either disabled or is not a member of any business unit.', 'privilege'],
  ['systemuser With Id = 9f1b0a6e-0000-4000-8000-000000000001 Does Not Exist', 'missing'],
  ["Duplicate 'AuthInfo' with Value = (W:S-1-5-21) exists in MSCRM_CONFIG database", 'refused'],
  ["'User' with Value = (1) does not exist in MSCRM_CONFIG database", 'refused'],
  ["Resource not found for the segment 'systemuser'.", 'refused'],
  ["Could not find a property named 'x' on type 'Microsoft.Dynamics.CRM.systemuser'.", 'refused'],
] as const)('%s', (message, failure) => {
  expect(failureOf({ status: 500, code: undefined, message }, 'write')).toBe(failure);
  expect(failureOf({ status: 404, code: 0, message }, 'write')).toBe(failure);
});

describe('a code', () => {
  test('counts more than a text, which may be one of a plug-in', () => {
    const message = 'The object does not exist in active directory.';
    expect(failureOf({ status: 400, code: 0x80040265, message }, 'write')).toBe('refused');
  });

  test('that says nothing counts less than a text that is known', () => {
    expect(failureOf({ status: 500, code: 0x80040216, message: 'LookupAccountNameW failed with error' }, 'write')).toBe('not-in-directory');
    expect(failureOf({ status: 500, code: 0x80040216, message: 'something else' }, 'write')).toBe('unknown-outcome');
  });

  test('that nobody knows leaves it to the status', () => {
    expect(failureOf({ status: 400, code: 0x80049999, message: 'Unbekannt' }, 'write')).toBe('refused');
    expect(failureOf({ status: 500, code: 0x80049999, message: 'Unbekannt' }, 'write')).toBe('unknown-outcome');
    expect(failureOf({ status: 404, code: 0x8006088a, message: 'Unbekannt' }, 'write')).toBe('refused');
  });
});

/** Status, meaning for a read, for a write; first with a Web API error that is not in the table, then with anything else, such as a web page. */
test.each([
  [301, 'credentials', 'unknown-outcome', 'credentials', 'unknown-outcome'],
  [302, 'credentials', 'unknown-outcome', 'credentials', 'unknown-outcome'],
  [304, 'transient', 'unknown-outcome', 'transient', 'unknown-outcome'],
  [400, 'refused', 'refused', 'transient', 'unknown-outcome'],
  [401, 'credentials', 'credentials', 'credentials', 'credentials'],
  [403, 'privilege', 'privilege', 'credentials', 'credentials'],
  [404, 'missing', 'missing', 'transient', 'unknown-outcome'],
  [405, 'refused', 'refused', 'transient', 'unknown-outcome'],
  [407, 'credentials', 'credentials', 'credentials', 'credentials'],
  [408, 'transient', 'transient', 'transient', 'transient'],
  [412, 'conflict', 'conflict', 'conflict', 'conflict'],
  [413, 'refused', 'refused', 'transient', 'unknown-outcome'],
  [429, 'transient', 'transient', 'transient', 'transient'],
  [500, 'transient', 'unknown-outcome', 'transient', 'unknown-outcome'],
  [501, 'transient', 'unknown-outcome', 'transient', 'unknown-outcome'],
  [502, 'transient', 'unknown-outcome', 'transient', 'unknown-outcome'],
  [503, 'transient', 'unknown-outcome', 'transient', 'unknown-outcome'],
  [504, 'transient', 'unknown-outcome', 'transient', 'unknown-outcome'],
] as const)('status %i', (status, read, write, otherRead, otherWrite) => {
  const message = 'Etwas anderes';
  expect(failureOf({ status, message }, 'read')).toBe(read);
  expect(failureOf({ status, message }, 'write')).toBe(write);
  expect(failureOf({ status }, 'read')).toBe(otherRead);
  expect(failureOf({ status }, 'write')).toBe(otherWrite);
});
