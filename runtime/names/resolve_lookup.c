/* SPDX-License-Identifier: MIT
 *
 * Asking. A bounded number of names at once, for more would overflow the sockets' buffers; half of those may be names
 * for which nobody waits. */
#include "names/resolve_lookup.h"

#include "core/text.h"
#include "names/resolve_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
  MOST_RUNNING = 64,
  MOST_AHEAD = MOST_RUNNING / 2,
  MOST_DUES = 16384,
  LEAST_DUE_MS = 10,
};

/* A name that was asked for, until it is time to do so again. */
struct resolve_due {
  struct list_node place;
  struct resolver *resolver;
  struct wheel_timer timer;
  size_t size;
  char name[];
};

static void finish_lookup(struct resolve_lookup *lookup);
static void ask_candidate(struct resolve_lookup *lookup);

static clock_ms resolver_now(const struct resolver *resolver) { return clock_now(resolver->loop->clock); }

static struct resolver *resolver_of_channels(struct resolve_channels *channels) {
  return (struct resolver *)(void *)((char *)channels - offsetof(struct resolver, channels));
}

/* Keeping names warm. */

static void due_free(struct resolve_due *due) {
  loop_cancel_timer(due->resolver->loop, &due->timer);
  list_remove(&due->place);
  due->resolver->due_count--;
  free(due);
}

static void on_name_due(struct wheel_timer *timer) {
  struct resolve_due *due = (struct resolve_due *)(void *)((char *)timer - offsetof(struct resolve_due, timer));
  struct resolver *resolver = due->resolver;
  unsigned asks = host_table_claim(resolver->table, due->name, due->size, resolver_now(resolver));
  if (asks)
    resolve_lookup_start(resolver, due->name, due->size, asks, true);
  due_free(due);
}

/* Without memory, or with too many of them, the name is asked for when it is used next. */
static void remember_due(struct resolver *resolver, const char *name, size_t size) {
  clock_ms next = host_table_next(resolver->table, name, size), now = resolver_now(resolver);
  if (next == 0 || resolver->due_count >= MOST_DUES)
    return;
  struct resolve_due *due = calloc(1, sizeof *due + size + 1);
  if (!due)
    return;
  due->resolver = resolver;
  due->timer.on_expired = on_name_due;
  due->size = size;
  memcpy(due->name, name, size);
  list_add_tail(&resolver->dues, &due->place);
  resolver->due_count++;
  loop_set_timer(resolver->loop, &due->timer, next > now + LEAST_DUE_MS ? next - now : LEAST_DUE_MS);
}

/* Answers. */

static void log_news(struct resolver *resolver, const struct resolve_lookup *lookup, const struct host_answer *answer,
                     const struct host_news *news) {
  static const char *const texts[] = {
      [HOST_STALE] = "a name can't be looked up; its last known addresses serve",
      [HOST_WELL] = "a name is looked up again",
      [HOST_GONE] = "a name has no addresses any more",
  };
  uint64_t suppressed;
  enum log_level level = news->change == HOST_WELL ? LOG_INFO : LOG_WARN;
  if (news->change == HOST_SAME || !resolver->log || !log_enabled(resolver->log, level) ||
      !log_limit_pass(&resolver->log_limit, resolver_now(resolver), &suppressed))
    return;
  LOG(resolver->log, level, texts[news->change], LOG_STRING("name", lookup->name),
      LOG_STRING("answer", host_result_label(answer->result)), LOG_NUMBER("expired_s", (double)news->stale_ms / 1000),
      LOG_INTEGER("not_logged_before", suppressed));
}

static void note_answer(struct resolve_lookup *lookup, const struct host_answer *answer) {
  struct resolver *resolver = lookup->resolver;
  struct host_news news;
  host_table_note(resolver->table, lookup->name, lookup->size, answer, resolver_now(resolver), &news);
  log_news(resolver, lookup, answer, &news);
  if (answer->status == 0)
    lookup->is_found = true;
  else if (answer->status != -ENOENT || lookup->status == 0)
    lookup->status = answer->status;
}

/* All questions of this candidate are answered. */
static void end_candidate(struct resolve_lookup *lookup) {
  char text[2 * RESOLVE_NAME_MAX];
  struct resolver *resolver = lookup->resolver;
  bool is_absent = !lookup->is_found && lookup->status == 0;
  if (is_absent && dns_files_candidate(resolver->channels.files, lookup->name, lookup->size, lookup->candidate + 1,
                                       text, sizeof text) == 0) {
    lookup->candidate++;
    ask_candidate(lookup);
    return;
  }
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    if (lookup->questions[i].absent)
      note_answer(lookup, lookup->questions[i].absent);
  }
  finish_lookup(lookup);
}

static void look_at_answers(struct resolve_lookup *lookup) {
  if (!lookup->questions[HOST_IPV6].is_open && !lookup->questions[HOST_IPV4].is_open)
    end_candidate(lookup);
  else if (lookup->is_found && !lookup->overdue)
    loop_set_timer(lookup->resolver->loop, &lookup->timer, lookup->resolver->delay_ms);
}

static void question_close(struct resolve_question *question, const struct host_answer *answer) {
  question->is_open = false;
  if (answer->status == -ENOENT && (question->absent || (question->absent = malloc(sizeof *answer))))
    *question->absent = *answer;
  else
    note_answer(question->lookup, answer);
}

static void on_dns_answer(void *argument, int status, int late, struct ares_addrinfo *info) {
  struct resolve_question *question = argument;
  struct resolve_lookup *lookup = question->lookup;
  if (status == ARES_EDESTRUCTION)
    return;
  struct host_answer answer;
  resolve_answer_from(&answer, question == &lookup->questions[HOST_IPV6] ? HOST_IPV6 : HOST_IPV4, status, info);
  ares_freeaddrinfo(info);
  resolve_channel_done(question->channel, answer.status == 0 || answer.status == -ENOENT, late);
  question_close(question, &answer);
  look_at_answers(lookup);
}

/* Asks for what of `asks` is not under way. Those questions are open before the first is asked, for that may be
 * answered at once, and with the last answer the lookup may be over. */
static void ask_questions(struct resolve_lookup *lookup, unsigned asks) {
  char text[2 * RESOLVE_NAME_MAX];
  struct resolver *resolver = lookup->resolver;
  bool is_name = dns_files_candidate(resolver->channels.files, lookup->name, lookup->size, lookup->candidate, text,
                                     sizeof text) == 0;
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    if (lookup->questions[i].is_open)
      asks &= ~(1u << i);
    else if (asks & (1u << i))
      lookup->questions[i].is_open = true;
  }
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    struct resolve_question *question = &lookup->questions[i];
    if (!(asks & (1u << i)))
      continue;
    int status = is_name ? resolve_channels_ask(&resolver->channels, text, (enum host_family)i, on_dns_answer, question,
                                                &question->channel)
                         : -EINVAL;
    if (status == 0)
      continue;
    struct host_answer answer;
    resolve_answer_from(&answer, (enum host_family)i, is_name ? ARES_ENOMEM : ARES_EBADNAME, NULL);
    question_close(question, &answer);
    look_at_answers(lookup);
  }
}

static void ask_candidate(struct resolve_lookup *lookup) { ask_questions(lookup, lookup->asks); }

static void run_lookup(struct resolve_lookup *lookup) {
  struct resolver *resolver = lookup->resolver;
  lookup->phase = LOOKUP_RUNNING;
  list_remove(&lookup->place);
  list_add_tail(&resolver->running_lookups, &lookup->place);
  resolver->running++;
  resolver->running_ahead += lookup->ahead;
  ask_candidate(lookup);
}

static void run_queued(struct resolver *resolver) {
  while (resolver->running < MOST_RUNNING) {
    struct list_node *queue = &resolver->queues[0];
    if (list_is_empty(queue) && resolver->running_ahead < MOST_AHEAD)
      queue = &resolver->queues[1];
    if (list_is_empty(queue))
      return;
    run_lookup(LIST_OWNER(queue->next, struct resolve_lookup, place));
  }
}

static void on_lookup_late(struct wheel_timer *timer) {
  struct resolve_lookup *lookup =
      (struct resolve_lookup *)(void *)((char *)timer - offsetof(struct resolve_lookup, timer));
  lookup->overdue = true;
  remember_due(lookup->resolver, lookup->name, lookup->size);
  lookup->resolver->delivering = true;
  lookup->resolver->answer(lookup);
  lookup->resolver->delivering = false;
}

static void deliver(struct resolver *resolver);

static void on_delivery(struct deferred *deferred) {
  deliver((struct resolver *)(void *)((char *)deferred - offsetof(struct resolver, delivery)));
}

static void on_channels_pause(struct resolve_channels *channels) { deliver(resolver_of_channels(channels)); }

int resolve_lookups_init(struct resolver *resolver) {
  resolver->channels.on_pause = on_channels_pause;
  resolver->delivery.run = on_delivery;
  list_init(&resolver->queues[0]);
  list_init(&resolver->queues[1]);
  list_init(&resolver->running_lookups);
  list_init(&resolver->over);
  list_init(&resolver->dues);
  return getrandom(&resolver->seed, sizeof resolver->seed, 0) == (ssize_t)sizeof resolver->seed ? 0 : -EIO;
}

struct resolve_lookup *resolve_lookup_find(const struct resolver *resolver, const char *name, size_t size) {
  uint64_t hash = text_hash(name, size, resolver->seed);
  for (struct hash_node *node = hash_table_first(&resolver->lookups, hash); node; node = hash_table_next(node)) {
    struct resolve_lookup *lookup = HASH_OWNER(node, struct resolve_lookup, node);
    if (lookup->size == size && memcmp(lookup->name, name, size) == 0)
      return lookup;
  }
  return NULL;
}

/* A name that is looked for among several is asked for in both families: they are to be of one of them. */
static unsigned asks_of_name(const struct resolver *resolver, const char *name, size_t size, unsigned asks) {
  char text[2 * RESOLVE_NAME_MAX];
  return dns_files_candidate(resolver->channels.files, name, size, 1, text, sizeof text) == 0 ? resolver->asks : asks;
}

/* One family has been answered, and is due again before the other is. */
static void ask_again(struct resolve_lookup *lookup, unsigned asks) {
  lookup->asks |= asks;
  if (lookup->phase != LOOKUP_RUNNING) /* it queues; or is over, and leaves it to the next */
    return;
  for (size_t i = 0; i < HOST_FAMILIES; i++)
    asks &= lookup->questions[i].is_open ? ~(1u << i) : ~0u;
  if (!asks)
    return;
  lookup->is_found = lookup->overdue = false;
  ask_questions(lookup, asks);
}

struct resolve_lookup *resolve_lookup_start(struct resolver *resolver, const char *name, size_t size, unsigned asks,
                                            bool ahead) {
  struct resolve_lookup *lookup = resolve_lookup_find(resolver, name, size);
  if (lookup) {
    ask_again(lookup, asks);
    return lookup;
  }
  lookup = calloc(1, sizeof *lookup + size + 1);
  if (!lookup)
    return NULL;
  if (hash_table_enter(&resolver->lookups, &lookup->node, text_hash(name, size, resolver->seed)) < 0) {
    free(lookup);
    return NULL;
  }
  lookup->resolver = resolver;
  lookup->timer.on_expired = on_lookup_late;
  lookup->ahead = ahead;
  lookup->asks = asks_of_name(resolver, name, size, asks);
  lookup->questions[HOST_IPV6].lookup = lookup->questions[HOST_IPV4].lookup = lookup;
  lookup->size = size;
  memcpy(lookup->name, name, size);
  list_init(&lookup->requests);
  list_init(&lookup->place);
  list_add_tail(&resolver->queues[ahead], &lookup->place);
  run_queued(resolver);
  return lookup;
}

void resolve_lookup_hurry(struct resolve_lookup *lookup, uint64_t ms) {
  struct resolver *resolver = lookup->resolver;
  if (lookup->ahead && lookup->phase == LOOKUP_QUEUED) {
    list_remove(&lookup->place);
    list_add_tail(&resolver->queues[0], &lookup->place);
  }
  resolver->running_ahead -= lookup->ahead && lookup->phase == LOOKUP_RUNNING;
  lookup->ahead = false;
  if (ms > 0 && !lookup->timer.link && !lookup->overdue && lookup->phase != LOOKUP_OVER)
    loop_set_timer(resolver->loop, &lookup->timer, ms);
  run_queued(resolver);
}

static void lookup_free(struct resolve_lookup *lookup) {
  loop_cancel_timer(lookup->resolver->loop, &lookup->timer);
  list_remove(&lookup->place);
  free(lookup->questions[HOST_IPV6].absent);
  free(lookup->questions[HOST_IPV4].absent);
  free(lookup);
}

/* Its requests are called when c-ares is off the stack. */
static void finish_lookup(struct resolve_lookup *lookup) {
  struct resolver *resolver = lookup->resolver;
  loop_cancel_timer(resolver->loop, &lookup->timer);
  resolver->running--;
  resolver->running_ahead -= lookup->ahead;
  lookup->phase = LOOKUP_OVER;
  list_remove(&lookup->place);
  list_add_tail(&resolver->over, &lookup->place);
  loop_defer(resolver->loop, &resolver->delivery);
}

static void deliver(struct resolver *resolver) {
  if (resolver->delivering)
    return;
  resolver->delivering = true;
  while (!list_is_empty(&resolver->over)) {
    struct resolve_lookup *lookup = LIST_OWNER(resolver->over.next, struct resolve_lookup, place);
    list_remove(&lookup->place);
    hash_table_remove(&resolver->lookups, &lookup->node);
    remember_due(resolver, lookup->name, lookup->size);
    resolver->answer(lookup);
    lookup_free(lookup);
    run_queued(resolver);
  }
  resolver->delivering = false;
}

void resolve_lookups_deinit(struct resolver *resolver, void (*drop_requests)(struct list_node *requests)) {
  struct list_node *lists[] = {&resolver->queues[0], &resolver->queues[1], &resolver->running_lookups, &resolver->over};
  loop_undefer(resolver->loop, &resolver->delivery);
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
    LIST_FOREACH(node, lists[i]) {
      struct resolve_lookup *lookup = LIST_OWNER(node, struct resolve_lookup, place);
      drop_requests(&lookup->requests);
      lookup_free(lookup);
    }
  }
  hash_table_deinit(&resolver->lookups);
  LIST_FOREACH(node, &resolver->dues) { due_free(LIST_OWNER(node, struct resolve_due, place)); }
}
