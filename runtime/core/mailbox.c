/* SPDX-License-Identifier: MIT
 *
 * The queue of a mailbox, and the eventfd that wakes its owner. */
#include "core/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct message *take_all(struct mailbox *mailbox, bool close_it) {
  pthread_mutex_lock(&mailbox->lock);
  struct message *first = mailbox->first;
  mailbox->first = NULL;
  mailbox->last = &mailbox->first;
  mailbox->closed = mailbox->closed || close_it;
  pthread_mutex_unlock(&mailbox->lock);
  return first;
}

static void deliver_all(struct mailbox *mailbox, struct message *message) {
  while (message) {
    struct message *next = message->next;
    message->next = NULL;
    message->deliver(message, mailbox->receiver);
    message = next;
  }
}

static void on_mailbox_wake(evutil_socket_t fd, short what, void *argument) {
  struct mailbox *mailbox = argument;
  (void)what;
  /* Emptied before the queue is: a message posted in between wakes us once too often rather than not at all. */
  uint64_t count;
  ssize_t got;
  do
    got = read(fd, &count, sizeof count);
  while (got < 0 && errno == EINTR);
  deliver_all(mailbox, take_all(mailbox, false));
}

int mailbox_init(struct mailbox *mailbox, struct event_base *base, void *receiver) {
  *mailbox = (struct mailbox){.eventfd = -1, .receiver = receiver};
  mailbox->last = &mailbox->first;
  int error = pthread_mutex_init(&mailbox->lock, NULL);
  if (error)
    return -error;
  mailbox->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (mailbox->eventfd < 0) {
    error = errno;
    goto fail;
  }
  error = ENOMEM;
  mailbox->event = event_new(base, mailbox->eventfd, EV_READ | EV_PERSIST, on_mailbox_wake, mailbox);
  if (!mailbox->event || event_add(mailbox->event, NULL) != 0)
    goto fail;
  return 0;

fail:
  if (mailbox->event)
    event_free(mailbox->event);
  if (mailbox->eventfd >= 0)
    close(mailbox->eventfd);
  pthread_mutex_destroy(&mailbox->lock);
  return -error;
}

void mailbox_deinit(struct mailbox *mailbox) {
  deliver_all(mailbox, take_all(mailbox, true));
  event_free(mailbox->event);
  mailbox->event = NULL;
  close(mailbox->eventfd);
  mailbox->eventfd = -1;
  /* The mutex stays: it holds no resource, and who posts too late must find it to be told so. */
}

bool mailbox_post(struct mailbox *mailbox, struct message *message) {
  assert(message->deliver);
  message->next = NULL;
  pthread_mutex_lock(&mailbox->lock);
  bool open = !mailbox->closed;
  if (open) {
    bool wake = !mailbox->first;
    *mailbox->last = message;
    mailbox->last = &message->next;
    if (wake) {
      /* Under the lock, or the descriptor might be closed, and another's, by now. It can't be full. */
      uint64_t one = 1;
      ssize_t put;
      do
        put = write(mailbox->eventfd, &one, sizeof one);
      while (put < 0 && errno == EINTR);
    }
  }
  pthread_mutex_unlock(&mailbox->lock);
  return open;
}
