import type { ServerResponse } from 'node:http';
import { expect } from 'vitest';
import { type Authentication, bearer } from '../../src/customer-engagement/authentication.ts';
import { customerEngagement, type Settings } from '../../src/customer-engagement/client.ts';
import { type CustomerEngagement, CustomerEngagementError } from '../../streams/customer-engagement.ts';
import { type HttpServer, httpServer, type Script } from '../support/http-server.ts';

export const ID = '9f1b0a6e-51c2-4c8e-9d55-0123456789ab';
export const BUSINESS_UNIT = '0b0b0b0b-0000-4000-8000-0123456789ab';
export const TOKEN = 'token-of-a-test-0123456789';

export interface Pair extends AsyncDisposable {
  readonly ce: CustomerEngagement;
  readonly server: HttpServer;
}

/** A client and the scripted server that it talks to. */
export async function pair(script: Script, settings: Partial<Settings> = {}): Promise<Pair> {
  const server = await httpServer(script);
  const ce = clientOf(server.origin, settings);
  return {
    ce,
    server,
    async [Symbol.asyncDispose]() {
      await ce.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

export function clientOf(origin: string, settings: Partial<Settings> = {}): CustomerEngagement {
  const auth: Authentication = bearer(() => TOKEN);
  return customerEngagement({ name: 'contoso', url: `${origin}/contoso`, apiVersion: 'v9.1', allowClearText: true, auth, ...settings });
}

export function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json; odata.metadata=minimal', 'odata-version': '4.0', ...headers });
  response.end(JSON.stringify(body));
}

export function html(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', ...headers });
  response.end('<!DOCTYPE html><html><title>Sign in</title><form action="/login">secret-of-the-page</form></html>');
}

export function record(columns: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    '@odata.etag': 'W/"506868"',
    systemuserid: ID.toUpperCase(),
    ownerid: ID,
    domainname: 'CORP\\alee',
    fullname: 'Ann Lee',
    isdisabled: false,
    applicationid: null,
    isintegrationuser: false,
    setupuser: false,
    accessmode: 0,
    firstname: 'Ann',
    lastname: 'Lee',
    internalemailaddress: 'ann.lee@example.test',
    employeeid: null,
    _businessunitid_value: BUSINESS_UNIT.toUpperCase(),
    modifiedon: '2026-11-26T08:00:00Z',
    ...columns,
  };
}

/** The error that a promise rejects with; it must be the port's, name the organization, stay short and hold no secret. */
export async function failing(promise: Promise<unknown>): Promise<CustomerEngagementError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CustomerEngagementError);
  if (!(error instanceof CustomerEngagementError)) throw error;
  expect(error.message).toMatch(/^contoso: /);
  expect(error.message.length).toBeLessThan(400);
  expect(error.message).not.toMatch(/token-of-a-test|secret/);
  return error;
}

export async function collect<T>(pages: AsyncIterable<T[]>): Promise<T[][]> {
  const all: T[][] = [];
  for await (const page of pages) all.push(page);
  return all;
}
