/* SPDX-License-Identifier: MIT
 *
 * How a buffer grows. When it is filled and emptied is its owner's business. */
#include "core/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 64 };

static const size_t LARGEST = SIZE_MAX / 2 - sizeof(struct buffer);

static void buffer_copy(uint8_t *target, const void *bytes, size_t size) {
  if (size > 0)
    memcpy(target, bytes, size);
}

/* NULL without memory, or when `capacity` is nonsense. */
static struct buffer *buffer_allocate(size_t capacity) {
  if (capacity > LARGEST)
    return NULL;
  if (capacity < SMALLEST)
    capacity = SMALLEST;
  struct buffer *buffer = malloc(sizeof *buffer + capacity);
  if (buffer)
    *buffer = (struct buffer){.capacity = capacity};
  return buffer;
}

/* A capacity for `size` more bytes: at least twice what is there, so that appending byte by byte stays linear. */
static size_t grown(size_t used, size_t size) {
  if (size > LARGEST - used)
    return SIZE_MAX;
  return size > used ? used + size : used * 2;
}

struct buffer *buffer_new(const void *bytes, size_t size, size_t room) {
  struct buffer *buffer = size <= LARGEST && room <= LARGEST ? buffer_allocate(size + room) : NULL;
  if (!buffer)
    return NULL;
  buffer_copy(buffer->bytes, bytes, size);
  buffer->end = size;
  return buffer;
}

void buffer_free(struct buffer *buffer) { free(buffer); }

uint8_t *buffer_reserve(struct buffer **buffer, size_t size) {
  struct buffer *old = *buffer;
  if (old && old->capacity - old->end >= size)
    return old->bytes + old->end;

  size_t used = buffer_size(old);
  /* Moved to the front only where as much was consumed as is left, or bytes would be moved over and over. */
  if (old && old->start >= used && old->capacity - used >= size) {
    memcpy(old->bytes, old->bytes + old->start, used);
    old->start = 0;
    old->end = used;
    return old->bytes + used;
  }
  struct buffer *larger = buffer_allocate(grown(used, size));
  if (!larger)
    return NULL;
  if (used > 0)
    memcpy(larger->bytes, old->bytes + old->start, used);
  larger->end = used;
  free(old);
  *buffer = larger;
  return larger->bytes + used;
}

int buffer_append(struct buffer **buffer, const void *bytes, size_t size) {
  uint8_t *target = buffer_reserve(buffer, size);
  if (!target)
    return -ENOMEM;
  buffer_copy(target, bytes, size);
  buffer_commit(*buffer, size);
  return 0;
}

int buffer_prepend(struct buffer **buffer, const void *bytes, size_t size) {
  struct buffer *old = *buffer, *target = old;
  size_t used = buffer_size(old);
  if (!old || old->start < size) {
    if (!old || old->capacity - used < size) {
      target = buffer_allocate(grown(used, size));
      if (!target)
        return -ENOMEM;
    }
    /* Half of what is free goes to the front, so that putting back byte by byte stays linear. */
    size_t start = (target->capacity - used - size) / 2 + size;
    if (used > 0)
      memmove(target->bytes + start, old->bytes + old->start, used);
    target->start = start;
    target->end = start + used;
    if (target != old)
      free(old);
    *buffer = target;
  }
  target->start -= size;
  buffer_copy(target->bytes + target->start, bytes, size);
  return 0;
}
