/** The files of the admin page by name. Generated from page/ by scripts/page.ts. */
export const FILES: Readonly<Record<string, string>>
