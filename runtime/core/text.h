/* SPDX-License-Identifier: MIT
 *
 * Small helpers for strings of bytes: hashes, and what of them a person's terminal may show. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A hash for tables within this process. With a random `seed` that stays secret, nobody outside can choose
 * keys that collide. `bytes` may be NULL when `size` is 0. */
uint64_t text_hash(const void *bytes, size_t size, uint64_t seed);

/* Both halves of a hash of 128 bits: the first is returned, the second is independent of it. Two keys that agree in
 * both can be taken for the same: with a secret seed that is as unlikely as guessing a key of a cipher. */
uint64_t text_hash_wide(const void *bytes, size_t size, uint64_t seed, uint64_t *second);

/* The length of the character of UTF-8 at `at`, 0 when there is none (RFC 3629, 4). At the NUL that ends a string: 1.
 */
size_t text_character(const char *at);

/* The code point of a character of that length. */
uint32_t text_code_point(const char *at, size_t length);

/* Whether a terminal, or an editor, obeys the character rather than showing it: the control characters of ASCII, DEL,
 * U+0080 to U+009F, the separators of lines and the marks that turn the order of what follows (UAX #9). */
bool text_is_control(const char *at, size_t length);

/* Makes text that others have had a hand in (names of files, what a route file says) fit to be printed, in place: "?"
 * for each such character, and for each byte that is not of UTF-8. */
void text_make_printable(char *text);
