/* SPDX-License-Identifier: MIT
 *
 * What a socket has read ahead of its script: kept, taken, and counted against the memory of the script's state. */
#include "script/socket.h"
#include "script/state_private.h"

enum { HELD_FREELY = 64 * 1024 };

const uint8_t *socket_bytes_ahead(const struct script_socket *socket, size_t *size) {
  if (socket->fresh != NULL) {
    *size = socket->fresh_size;
    return socket->fresh;
  }
  *size = buffer_size(socket->ahead);
  return *size > 0 ? buffer_bytes(socket->ahead) : NULL;
}

void socket_count_ahead(struct script_socket *socket) {
  size_t size = socket->ahead != NULL && socket->ahead->capacity > HELD_FREELY ? socket->ahead->capacity : 0;
  socket->state->memory_used += size - socket->counted;
  socket->counted = size;
}

void socket_forget_ahead(struct script_socket *socket) {
  buffer_free(socket->ahead);
  socket->ahead = NULL;
  socket_count_ahead(socket);
}

bool socket_is_too_much(const struct script_socket *socket, size_t size) {
  struct script_state *state = socket->state;
  uint64_t limit = state->options.memory - state->options.memory / 4;
  if (limit == 0 || buffer_size(socket->ahead) < HELD_FREELY || state->memory_used + size <= limit)
    return false;
  script_state_relieve(state);
  return state->memory_used + size > limit;
}

void socket_consume(struct script_socket *socket, size_t size) {
  if (socket->fresh != NULL) {
    socket->fresh += size;
    socket->fresh_size -= size;
  } else if (socket->ahead != NULL) {
    buffer_consume(socket->ahead, size);
    if (buffer_size(socket->ahead) == 0)
      socket_forget_ahead(socket);
  }
}

void socket_keep_fresh(struct script_socket *socket) {
  if (socket->fresh != NULL && socket->fresh_size > 0 &&
      buffer_append(&socket->ahead, socket->fresh, socket->fresh_size) != 0)
    socket->failure = "out of memory";
  socket_count_ahead(socket);
  socket->fresh = NULL;
  socket->fresh_size = 0;
}
