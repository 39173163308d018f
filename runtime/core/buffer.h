/* SPDX-License-Identifier: MIT
 *
 * A run of bytes on the heap that is filled at its end and consumed from its start. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
  size_t start, end, capacity;
  uint8_t bytes[];
};

/* A buffer that holds a copy of `size` bytes and has room for `room` more. NULL without memory. */
struct buffer *buffer_new(const void *bytes, size_t size, size_t room);
void buffer_free(struct buffer *buffer); /* NULL is nothing */

static inline size_t buffer_size(const struct buffer *buffer) { return buffer ? buffer->end - buffer->start : 0; }
static inline const uint8_t *buffer_bytes(const struct buffer *buffer) { return buffer->bytes + buffer->start; }

/* In all of these `bytes` lie outside of the buffer, and may be NULL when `size` is 0.
 *
 * Appends to `*buffer` (NULL: a new one), moving or growing it as needed. 0, or -ENOMEM with nothing changed. */
int buffer_append(struct buffer **buffer, const void *bytes, size_t size);

/* Puts bytes in front of what is there. 0, or -ENOMEM with nothing changed. */
int buffer_prepend(struct buffer **buffer, const void *bytes, size_t size);

/* Makes room for `size` bytes at the end, and returns where they go (buffer_commit() then takes them); NULL without
 * memory. */
uint8_t *buffer_reserve(struct buffer **buffer, size_t size);
static inline void buffer_commit(struct buffer *buffer, size_t size) { buffer->end += size; }

/* Takes `size` (at most all) bytes off the start. */
static inline void buffer_consume(struct buffer *buffer, size_t size) {
  assert(size <= buffer->end - buffer->start);
  buffer->start += size;
  if (buffer->start == buffer->end)
    buffer->start = buffer->end = 0;
}
