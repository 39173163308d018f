/* SPDX-License-Identifier: MIT
 *
 * What a socket has read ahead of its script: kept, taken, and counted (script/held.h). */
#include "luasocket/socket.h"
#include "script/held.h"

const uint8_t *socket_bytes_ahead(const struct script_socket *socket, size_t *size) {
  if (socket->fresh != NULL) {
    *size = socket->fresh_size;
    return socket->fresh;
  }
  *size = buffer_size(socket->ahead);
  return *size > 0 ? buffer_bytes(socket->ahead) : NULL;
}

void socket_count_ahead(struct script_socket *socket) {
  script_held_count(socket->state, socket->ahead, &socket->counted);
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
