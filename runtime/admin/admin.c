/* SPDX-License-Identifier: MIT
 *
 * Accepting for the admin interface. The descriptor goes to Lua at once; what stays here is a record that tells how
 * many there are. */
#include "admin/admin.h"

#include "core/list.h"
#include "native/native.h"
#include "net/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct admin {
  struct loop *loop;
  struct script_host *host;
  const struct log *log;
  const char *channel;
  struct listener *listener; /* NULL: closed */
  struct list_node connections;
  unsigned count;
  struct log_limit failed_log;
};

struct admin_connection {
  struct list_node node;
  struct admin *admin;
  struct native_task task;
};

static void admin_log_failure(struct admin *admin, const char *message) {
  uint64_t suppressed;
  if (log_limit_pass(&admin->failed_log, loop_now(admin->loop), &suppressed))
    LOG(admin->log, LOG_ERROR, "the admin interface failed a connection", LOG_STRING("channel", admin->channel),
        LOG_STRING("error", message), LOG_INTEGER("not_logged_before", suppressed));
}

static void admin_release(struct admin_connection *connection) {
  struct admin *admin = connection->admin;
  list_remove(&connection->node);
  free(connection);
  if (admin->count-- == ADMIN_MAX_CONNECTIONS && admin->listener)
    listener_start(admin->listener);
}

static void on_admin_ended(struct native_task *task, int status, const char *message) {
  struct admin_connection *connection = LIST_OWNER(task, struct admin_connection, task);
  (void)status;
  if (message)
    admin_log_failure(connection->admin, message);
  admin_release(connection);
}

static void on_admin_accept(void *context, int fd, const struct sockaddr *peer, socklen_t length) {
  struct admin *admin = context;
  (void)peer;
  (void)length;
  struct admin_connection *connection = admin->count < ADMIN_MAX_CONNECTIONS ? calloc(1, sizeof *connection) : NULL;
  if (!connection) {
    close(fd);
    admin_log_failure(admin, "too many connections at a time");
    return;
  }
  connection->admin = admin;
  connection->task.on_ended = on_admin_ended;
  list_add_tail(&admin->connections, &connection->node);
  /* Those that are on their way out make room soon (lua/moongate/admin/room.lua): who comes next waits in the queue. */
  if (++admin->count == ADMIN_MAX_CONNECTIONS && admin->listener)
    listener_pause(admin->listener);
  struct error error;
  if (native_start_socket(admin->host, &connection->task, "moongate.admin", "serve", fd, admin->channel, &error) != 0) {
    admin_log_failure(admin, error.message);
    admin_release(connection);
  }
}

static void on_admin_refused(void *context, int status) {
  admin_log_failure(context, status == -EMFILE || status == -ENFILE ? "no file descriptor left" : "no memory left");
}

static const struct listener_callbacks callbacks = {.on_accept = on_admin_accept, .on_refused = on_admin_refused};

struct admin *admin_open(struct loop *loop, struct script_host *host, const struct log *log,
                         const struct endpoint *endpoint, const char *channel, struct error *error) {
  struct admin *admin = calloc(1, sizeof *admin);
  if (!admin) {
    error_set(error, ENOMEM, "no memory for the admin interface");
    return NULL;
  }
  *admin = (struct admin){.loop = loop, .host = host, .log = log, .channel = channel};
  list_init(&admin->connections);
  admin->listener = listener_open(loop, endpoint, NULL, &callbacks, admin, error);
  if (admin->listener)
    return admin;
  free(admin);
  return NULL;
}

const struct endpoint *admin_endpoint(const struct admin *admin) { return listener_endpoint(admin->listener); }

void admin_close(struct admin *admin) {
  if (!admin)
    return;
  listener_close(admin->listener);
  admin->listener = NULL;
}

void admin_free(struct admin *admin) {
  if (!admin)
    return;
  admin_close(admin);
  LIST_FOREACH(node, &admin->connections) { admin_release(LIST_OWNER(node, struct admin_connection, node)); }
  free(admin);
}
