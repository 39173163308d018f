/* SPDX-License-Identifier: MIT
 *
 * A thread that reads a signalfd, and a timerfd for the end that can't be put off: nothing it does can wait for another
 * thread, but for the mailbox's lock. */
#include "process/signals.h"

#include "process/privileges.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* SIGPWR: the power fails, or who runs a container of its own kind (LXC) wants it to end. */
static const int obeyed[] = {SIGTERM, SIGINT, SIGQUIT, SIGPWR, SIGHUP, SIGUSR1, SIGUSR2};

enum { COUNT = sizeof obeyed / sizeof obeyed[0] };

/* One kind of signal on its way to the control thread. */
struct signal_news {
  struct message message;
  struct signals *signals;
  int number;
  atomic_uint count; /* that it has not seen; not 0: the message is on its way */
};

struct signals {
  const struct signal_callbacks *callbacks;
  void *context;
  const struct log *log;
  struct loop *loop;
  pthread_mutex_t lock; /* for `left`; what is called under it does not wait */
  bool left;            /* the loop may be gone */
  _Atomic uint64_t patience_ms;
  atomic_bool ready;
  unsigned ends; /* signals to end; the thread's */
  int signal_fd, timer_fd;
  struct signal_news news[COUNT];
};

static bool is_end(int number) {
  return number == SIGTERM || number == SIGINT || number == SIGQUIT || number == SIGPWR;
}

/* On the control thread. */
static void on_news(struct message *message, void *receiver) {
  struct signal_news *news = (struct signal_news *)(void *)message;
  const struct signals *signals = news->signals;
  (void)receiver;
  for (unsigned count = atomic_exchange(&news->count, 0); count > 0 && !signals->left; count--) {
    if (is_end(news->number))
      signals->callbacks->on_end(signals->context);
    else
      signals->callbacks->on_other(signals->context, news->number);
  }
}

/* The rest runs on the thread, up to signals_thread_main(). */

static void signals_tell(struct signals *signals, int number) {
  pthread_mutex_lock(&signals->lock);
  for (int i = 0; i < COUNT && !signals->left; i++)
    if (obeyed[i] == number && atomic_fetch_add(&signals->news[i].count, 1) == 0)
      mailbox_post(&signals->loop->mailbox, &signals->news[i].message);
  pthread_mutex_unlock(&signals->lock);
}

/* Never returns. */
static void end_early(struct signals *signals, int number) {
  sigset_t set;
  alarm(1); /* for a disk that what is called waits for: nobody catches SIGALRM */
  pthread_mutex_lock(&signals->lock);
  if (!signals->left)
    signals->callbacks->on_early_end(signals->context);
  pthread_mutex_unlock(&signals->lock);
  sigemptyset(&set);
  sigaddset(&set, number);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  raise(number);
  _exit(1);
}

static void obey(struct signals *signals, int number) {
  if (is_end(number) && !atomic_load(&signals->ready))
    end_early(signals, number);
  if (is_end(number)) {
    switch (++signals->ends) {
    case 1:
      signals_end_within(signals, atomic_load(&signals->patience_ms) + SIGNALS_END_MS);
      break;
    case 2:
      signals_end_within(signals, SIGNALS_HURRY_MS);
      break;
    default:
      _exit(1);
    }
  }
  signals_tell(signals, number);
}

static void read_signals(struct signals *signals) {
  struct signalfd_siginfo caught;
  while (read(signals->signal_fd, &caught, sizeof caught) == sizeof caught)
    obey(signals, (int)caught.ssi_signo);
}

static void *signals_thread_main(void *argument) {
  struct signals *signals = argument;
  struct pollfd fds[] = {{.fd = signals->signal_fd, .events = POLLIN}, {.fd = signals->timer_fd, .events = POLLIN}};
  pthread_setname_np(pthread_self(), "signals");
  for (;;) {
    uint64_t times;
    if (poll(fds, 2, -1) < 0)
      continue;
    read_signals(signals);
    if (read(signals->timer_fd, &times, sizeof times) == sizeof times) {
      alarm(1); /* for a log that can't be written either: nobody catches SIGALRM */
      LOG(signals->log, LOG_ERROR, "the end takes too long: a thread does not answer; ending without it");
      _exit(1);
    }
  }
  return NULL;
}

static int block_signals(sigset_t *set, bool ends) {
  sigemptyset(set);
  for (int i = 0; i < COUNT; i++)
    if (ends || !is_end(obeyed[i]))
      sigaddset(set, obeyed[i]);
  return pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* Whoever has started us may have it ignored or blocked, and it is what ends us when nothing else does. */
static void restore_alarm(void) {
  sigset_t set;
  signal(SIGALRM, SIG_DFL);
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void signals_hold(void) {
  sigset_t set;
  block_signals(&set, false);
}

static int start_thread(struct signals *signals, const struct account *account, struct error *error) {
  pthread_t thread;
  int status = privileges_start_thread(account, false, "signals", &thread, signals_thread_main, signals, error);
  if (status == 0)
    pthread_detach(thread);
  return status;
}

struct signals *signals_new(struct loop *loop, const struct log *log, const struct account *account,
                            const struct signal_callbacks *callbacks, void *context, uint64_t patience_ms,
                            struct error *error) {
  struct signals *signals = calloc(1, sizeof *signals);
  sigset_t set;
  if (!signals) {
    error_set(error, ENOMEM, "no memory to wait for signals");
    return NULL;
  }
  int status = block_signals(&set, true);
  restore_alarm();
  *signals = (struct signals){.callbacks = callbacks, .context = context, .log = log, .loop = loop};
  atomic_init(&signals->patience_ms, patience_ms);
  pthread_mutex_init(&signals->lock, NULL);
  for (int i = 0; i < COUNT; i++)
    signals->news[i] = (struct signal_news){.message.deliver = on_news, .signals = signals, .number = obeyed[i]};
  signals->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  signals->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (signals->signal_fd < 0 || signals->timer_fd < 0)
    status = errno;
  if (status == 0 && start_thread(signals, account, error) == 0)
    return signals;
  if (status != 0)
    error_set(error, status, "signals can't be waited for: %s", strerror(status));
  if (signals->signal_fd >= 0)
    close(signals->signal_fd);
  if (signals->timer_fd >= 0)
    close(signals->timer_fd);
  free(signals);
  return NULL;
}

void signals_set_ready(struct signals *signals) { atomic_store(&signals->ready, true); }

void signals_set_patience(struct signals *signals, uint64_t ms) { atomic_store(&signals->patience_ms, ms); }

void signals_end_within(struct signals *signals, uint64_t ms) {
  if (ms == 0)
    ms = 1; /* 0 would disarm it */
  const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000}};
  timerfd_settime(signals->timer_fd, 0, &when, NULL);
}

void signals_leave(struct signals *signals) {
  if (!signals)
    return;
  pthread_mutex_lock(&signals->lock);
  signals->left = true;
  pthread_mutex_unlock(&signals->lock);
}
