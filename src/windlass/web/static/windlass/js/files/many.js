// One call for each of many files, a few at a time.

const AT_ONCE = 4;
const TRIES = 5;

/** Call `work` for each file. Returns {done, failed}: files, and {file, error}. A reply that says when to try again is heeded. */
export async function forEach(files, work) {
  const queue = [...files];
  const [done, failed] = [[], []];
  const run = async () => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      try {
        await insist(() => work(file));
        done.push(file);
      } catch (error) {
        failed.push({ file, error });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, files.length) }, run));
  return { done, failed };
}

/** "report.pdf" or "3 files". */
export const nameOf = (files) => (files.length === 1 ? files[0].original_filename : `${files.length.toLocaleString("en")} files`);

/** What did not work, in one sentence: the first reason, and how many files have others. */
export function failureText(failed, verb) {
  const [{ file, error }] = failed;
  const others = failed.length > 1 ? ` ${failed.length - 1} more could not be ${verb} either.` : "";
  return `${file.original_filename} could not be ${verb}: ${error.message}${others}`;
}

async function insist(work) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      if (error.status !== 429 || tries === TRIES) throw error;
      await new Promise((done) => setTimeout(done, 1000 * (error.retryAfter ?? 1)));
    }
  }
}
