/** One at a time, in the order of the calls; a failed one does not stop the next. */
export function mutex(): <T>(body: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (body) => {
    const result = last.then(body);
    last = result.catch(() => {});
    return result;
  };
}
