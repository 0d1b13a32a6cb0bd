/**
 * Orders what matches a search: every word has to be in the name or the other words; names that start with the search come first, then names
 * that contain it, then the rest, each in its given order. An empty search keeps everything.
 */
export function rank<T>(items: T[], wanted: string, name: (item: T) => string, other: (item: T) => string): T[] {
  const needle = wanted.trim().toLowerCase();
  if (needle === '') return items;
  const words = needle.split(/\s+/);
  return items
    .flatMap((item, index) => {
      const own = name(item).toLowerCase();
      const all = `${own} ${other(item).toLowerCase()}`;
      if (!words.every((word) => all.includes(word))) return [];
      const at = own.indexOf(needle);
      const startsWord = at > 0 && /[\s._/-]/.test(own.charAt(at - 1));
      return [{ item, index, score: own === needle ? 0 : at === 0 ? 1 : startsWord ? 2 : at > 0 ? 3 : words.every((word) => own.includes(word)) ? 4 : 5 }];
    })
    .sort((a, b) => a.score - b.score || a.index - b.index)
    .map((hit) => hit.item);
}
