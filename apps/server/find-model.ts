// Finds the model that a name means: a file or folder here, or a repository of the Hugging Face hub.
import { existsSync } from "node:fs";
import { WrinkleFreeError } from "../../core/index.ts";

const repository = /^([\w.-]+\/[\w.-]+)(?::([\w./-]+))?$/;

/**
 * Path of a model. `owner/name` or `owner/name:file.gguf`, when there is no such path, is fetched
 * into the shared cache of the hub. Throws `not_found`, and what fetching throws.
 */
export async function findModelFile(name: string): Promise<string> {
  if (existsSync(name)) return name;
  const [, repo, file] = repository.exec(name) ?? [];
  if (repo === undefined || /^\.|\.gguf$/.test(repo)) {
    throw new WrinkleFreeError("not_found", `there is no model file or folder ${name}`, {
      file: name,
      flag: "--model",
      hint: "Check the path; owner/name:file.gguf fetches from the Hugging Face hub.",
    });
  }
  const { fetchModel } = await import("../convert/hub/hub.ts");
  const show = process.stderr.isTTY ? showProgress : undefined;
  const path = await fetchModel({ repo, file }, show);
  if (show) process.stderr.write("\r\x1b[K");
  return path;
}

function showProgress(bytes: number, total: number, file: string): void {
  const percent = total > 0 ? Math.floor((100 * bytes) / total) : 0;
  process.stderr.write(`\r\x1b[Kfetching ${file} ${percent} %`);
}
