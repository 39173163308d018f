/* SPDX-License-Identifier: MIT
 *
 * What the process may do, and what it gives up: started as root it becomes somebody else before it reads a route file,
 * and keeps of root's rights what it needs, ports under 1024; no thread can have any back. Of what a proxy never does
 * the kernel is told, so that who gets into the process can't either. */
#pragma once

#include "core/error.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct log;

enum { ACCOUNT_NAME_SIZE = 64 };

/* Whom to become. */
struct account {
  char name[ACCOUNT_NAME_SIZE]; /* for people; who we are where we stay that */
  uid_t uid;
  gid_t gid;
  bool is_set; /* false: stay who you are */
};

/* By the names (or numbers) of the config; `group` NULL: the user's own, `user` NULL: nobody. 0, -ENOENT (there is no
 * such user or group), or -EPERM (only root becomes somebody else; being that user already is fine). */
int account_find(struct account *account, const char *user, const char *group, struct error *error);

/* Whether one of the directories of the path, the last included, may not be searched by the account: then `closed` is
 * the first of them. Looks as the account would, so by root, and before any other thread works. */
bool account_find_closed(const struct account *account, const char *path, char closed[PATH_MAX]);

/* For people: the config can't be read as the account, though root has read it. */
void account_explain_unread(const struct account *account, struct error *error);

/* Becomes the account, with its groups, and nothing of root but CAP_NET_BIND_SERVICE and, where wanted, CAP_NET_ADMIN,
 * as far as there were. Before any other thread runs. 0 or a negative errno: then the process should end, for it may be
 * anybody. Nothing for an account that is not set. */
int privileges_drop(const struct account *account, bool keep_net_admin, struct error *error);

/* A thread (core/stack.h) that keeps CAP_NET_BIND_SERVICE alone, or, where it `binds` no ports, nothing: capabilities
 * are a thread's. With an account that is not set, or NULL, as whom nobody was dropped to, it keeps what the caller
 * has. 0, or a negative errno and `error`, which calls it the `name` thread: then `run` was not called. */
int privileges_start_thread(const struct account *account, bool binds, const char *name, pthread_t *thread,
                            void *(*run)(void *argument), void *argument, struct error *error);

/* From now on, for all threads that there are and will be: no program can give it rights (no_new_privs), and a filter
 * of system calls (seccomp) answers EPERM to those that a proxy has no use for and an intruder has: tracing, mounting,
 * namespaces, io_uring, loading into the kernel, running other programs. Where the kernel has no filters that is
 * logged, and the rest holds. */
void privileges_confine(const struct log *log);
