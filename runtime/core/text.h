/* SPDX-License-Identifier: MIT
 *
 * Small helpers for strings of bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A hash for tables within this process. With a random `seed` that stays secret, nobody outside can choose
 * keys that collide. `bytes` may be NULL when `size` is 0. */
uint64_t text_hash(const void *bytes, size_t size, uint64_t seed);
