/* SPDX-License-Identifier: MIT
 *
 * What a socket has read ahead of its script: kept, taken, and counted against the memory of its state, as the bodies
 * of requests are. */
#include "luasocket/socket.h"

const uint8_t *socket_bytes_ahead(const struct script_socket *socket, size_t *size) {
  if (socket->fresh != NULL) {
    *size = socket->fresh_size;
    return socket->fresh;
  }
  *size = buffer_size(socket->ahead);
  return *size > 0 ? buffer_bytes(socket->ahead) : NULL;
}

void socket_count_ahead(struct script_socket *socket) {
  script_buffer_count(socket->state, socket->ahead, &socket->counted);
}

void socket_forget_ahead(struct script_socket *socket) {
  buffer_free(socket->ahead);
  socket->ahead = NULL;
  socket_count_ahead(socket);
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

enum { HELD_FREELY = 64 * 1024 };

void script_buffer_count(struct script_state *state, const struct buffer *buffer, size_t *counted) {
  size_t size = buffer != NULL && buffer->capacity > HELD_FREELY ? buffer->capacity : 0;
  state->memory_used += size - *counted;
  *counted = size;
}

bool script_buffer_has_room(struct script_state *state, size_t size) {
  uint64_t limit = state->options.memory - state->options.memory / 4;
  if (limit == 0 || state->memory_used + size <= limit)
    return true;
  script_state_relieve(state);
  return state->memory_used + size <= limit;
}

bool script_buffer_is_too_large(struct script_state *state, const struct buffer *buffer, size_t size) {
  return buffer_size(buffer) >= HELD_FREELY && !script_buffer_has_room(state, size);
}
