/* SPDX-License-Identifier: MIT
 *
 * Messages to a thread: any thread posts, the owner's loop delivers them in the order of posting, each between two
 * events of that loop. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

struct event;
struct event_base;

struct message {
  struct message *next;
  /* Runs on the receiving thread and owns the message (frees it, or posts it back as an answer). */
  void (*deliver)(struct message *message, void *receiver);
};

struct mailbox {
  pthread_mutex_t lock;
  struct message *first, **last; /* under lock */
  bool closed;                   /* under lock */
  int eventfd;
  struct event *event;
  void *receiver;
};

/* `receiver` is handed to every message. Returns 0 or a negative errno. */
int mailbox_init(struct mailbox *mailbox, struct event_base *base, void *receiver);

/* Delivers what is still queued, refuses what comes later, releases all. On the owner's thread, before its base is
 * freed. Threads may go on posting (in vain) for as long as the memory of the mailbox stays. */
void mailbox_deinit(struct mailbox *mailbox);

/* Hands `message` over, from any thread, also from within deliver(): then it is delivered at the next wake. False when
 * the mailbox is closed: the message is still the caller's. */
bool mailbox_post(struct mailbox *mailbox, struct message *message);
