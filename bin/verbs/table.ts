/** Text in columns, as runc's and Docker's lists are. */

/** `title` and each of `rows` in one line; every column as wide as its widest entry, two spaces between them. */
export function formatTable(title: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [title, ...rows];
  const widths = title.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map(
      (line) =>
        `${line
          .map((text, column) => text.padEnd(widths[column]! + 2))
          .join('')
          .trimEnd()}\n`,
    )
    .join('');
}
