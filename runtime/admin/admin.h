/* SPDX-License-Identifier: MIT
 *
 * Where the admin interface listens: each connection becomes a task of require("moongate.admin").serve on the control
 * thread. What is answered there is lua/moongate/admin.lua's. This traffic is not counted. */
#pragma once

#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "net/address.h"

#include <stddef.h>

struct admin;
struct script_host;

enum { ADMIN_MAX_CONNECTIONS = 256 };

/* `channel` is a literal, "control" or "tcp", that the Lua side is told; the host and the log outlive it. NULL: see
 * `error`. */
struct admin *admin_open(struct loop *loop, struct script_host *host, const struct log *log,
                         const struct endpoint *endpoint, const char *channel, struct error *error);

/* Where it listens, with the port that the kernel gave. Not once it is closed. */
const struct endpoint *admin_endpoint(const struct admin *admin);

/* Accepts no more; what is being served goes on. Not within its own tasks' accept. NULL is nothing. */
void admin_close(struct admin *admin);

/* After the host is gone, and its tasks with it. NULL is nothing. */
void admin_free(struct admin *admin);
