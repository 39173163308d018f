/* SPDX-License-Identifier: MIT
 *
 * Small helpers for strings of bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A hash for tables within this process. With a random `seed` that stays secret, nobody outside can choose
 * keys that collide. `bytes` may be NULL when `size` is 0. */
uint64_t text_hash(const void *bytes, size_t size, uint64_t seed);

/* Both halves of a hash of 128 bits: the first is returned, the second is independent of it. Two keys that agree in
 * both can be taken for the same: with a secret seed that is as unlikely as guessing a key of a cipher. */
uint64_t text_hash_wide(const void *bytes, size_t size, uint64_t seed, uint64_t *second);
