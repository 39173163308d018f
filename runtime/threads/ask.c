/* SPDX-License-Identifier: MIT
 *
 * A part is a message that goes to a worker, back to itself after each stretch, and in the end to the control thread.
 */
#include "threads/ask.h"

#include "script/record.h"
#include "threads/threads.h"

#include <stdlib.h>
#include <string.h>

/* What the workers said last to a kind of question. */
struct memory_of_one {
  bool has_said;
  clock_ms at;
  void *brief;
};

struct ask_memory {
  struct list_node node; /* in asks->memories */
  const struct ask_kind *kind;
  size_t count;
  struct memory_of_one of[];
};

struct value *ask_refusal(int status, const char *message) {
  struct value *root = value_table();
  value_set_number(root, "status", status);
  value_set_string(root, "error", message);
  return root;
}

void ask_refuse(struct native_call *call, int status, const char *message) {
  native_call_answer(call, ask_refusal(status, message));
}

static void ask_free(struct ask *ask) {
  for (size_t i = 0; i < ask->count; i++) {
    loop_undefer(ask->asks->loop, &ask->parts[i].turn);
    if (ask->kind->clear && ask->parts[i].answer)
      ask->kind->clear(ask->parts[i].answer);
    free(ask->parts[i].answer);
  }
  if (ask->kind->free_question)
    ask->kind->free_question(ask->question);
  list_remove(&ask->node);
  free(ask);
}

/* By the place of the worker's thread; NULL without memory, or when nothing is remembered. */
static struct memory_of_one *ask_memory_of(const struct ask *ask, const struct worker *worker) {
  struct asks *asks = ask->asks;
  if (!ask->kind->brief || !worker)
    return NULL;
  LIST_FOREACH(node, &asks->memories) {
    struct ask_memory *memory = LIST_OWNER(node, struct ask_memory, node);
    if (memory->kind == ask->kind)
      return worker->number <= memory->count ? &memory->of[worker->number - 1] : NULL;
  }
  size_t count = asks->threads->count, size = ask->kind->brief->size;
  struct ask_memory *memory = calloc(1, sizeof *memory + count * (sizeof memory->of[0] + size));
  if (!memory)
    return NULL;
  memory->kind = ask->kind;
  memory->count = count;
  for (size_t i = 0; i < count; i++)
    memory->of[i].brief = (char *)(memory->of + count) + i * size;
  list_add_tail(&asks->memories, &memory->node);
  return ask_memory_of(ask, worker);
}

/* Answering runs Lua, so it comes last. */
static void ask_answer(struct ask *ask, struct value *value) {
  struct native_call *call = ask->call;
  native_call_on_cancel(call, NULL, NULL);
  ask->call = NULL;
  ask->asks->waiting--;
  loop_cancel_timer(ask->asks->loop, &ask->timer);
  if (ask->away == 0)
    ask_free(ask);
  native_call_answer(call, value);
}

static void ask_take_back(struct ask_part *part) {
  struct ask *ask = part->ask;
  part->away = false;
  struct memory_of_one *memory = part->done ? ask_memory_of(ask, part->worker) : NULL;
  if (memory) {
    memory->has_said = true;
    memory->at = clock_now(ask->asks->loop->clock);
    memcpy(memory->brief, (const char *)part->answer + ask->kind->brief_at, ask->kind->brief->size);
  }
  if (--ask->away > 0)
    return;
  if (ask->call)
    ask_answer(ask, atomic_load(&ask->given_up) ? NULL : ask->kind->report(ask));
  else
    ask_free(ask);
}

static void on_part_back(struct message *message, void *receiver) {
  (void)receiver;
  ask_take_back((struct ask_part *)(void *)message);
}

static void on_ask_patience_over(struct wheel_timer *timer) {
  struct ask *ask = (struct ask *)(void *)((char *)timer - offsetof(struct ask, timer));
  ask_answer(ask, atomic_load(&ask->given_up) ? NULL : ask->kind->report(ask));
}

/* Within the end of who has asked: the call is answered later. */
static void on_asker_gone(void *context) {
  struct ask *ask = context;
  atomic_store(&ask->given_up, true);
  loop_set_timer(ask->asks->loop, &ask->timer, 0);
}

/* On the thread that is asked. True: there is more. */
static bool ask_go_on(struct ask_part *part, const struct loop *loop) {
  const struct ask_kind *kind = part->ask->kind;
  if (!part->begun) {
    uint64_t now = clock_ns(loop->clock);
    part->lag_ns = now > part->asked_ns ? now - part->asked_ns : 0;
  }
  bool wanted = kind->finishes || !atomic_load_explicit(&part->ask->given_up, memory_order_relaxed);
  bool more = wanted && kind->step(part);
  part->done = wanted && !more;
  part->begun |= wanted;
  return more;
}

static void ask_leave(struct ask_part *part) {
  if (!part->done && part->begun && part->ask->kind->give_up)
    part->ask->kind->give_up(part);
}

/* The mailbox of a worker takes no more when it is ending; that of the control thread neither when it is past
 * listening, and then asks_deinit() frees all. */
static void on_ask_stretch(struct message *message, void *receiver) {
  struct ask_part *part = (struct ask_part *)(void *)message;
  struct worker *worker = receiver;
  if (ask_go_on(part, &worker->loop) && mailbox_post(&worker->loop.mailbox, message))
    return;
  ask_leave(part);
  message->deliver = on_part_back;
  mailbox_post(&part->ask->asks->loop->mailbox, message);
}

/* The same on the control thread, once a round of its loop. */
static void on_ask_turn(struct deferred *turn) {
  struct ask_part *part = (struct ask_part *)(void *)((char *)turn - offsetof(struct ask_part, turn));
  if (ask_go_on(part, part->ask->asks->loop)) {
    loop_defer(part->ask->asks->loop, turn);
    return;
  }
  ask_leave(part);
  ask_take_back(part);
}

/* Not one that is stuck: its part would keep the question for as long. False without memory. */
static bool ask_one(struct ask *ask, struct ask_part *part, struct worker *worker) {
  struct loop *loop = worker ? &worker->loop : ask->asks->loop;
  *part = (struct ask_part){.ask = ask, .worker = worker, .message.deliver = on_ask_stretch, .turn.run = on_ask_turn};
  part->answer = calloc(1, ask->kind->answer_size);
  if (!part->answer)
    return false;
  part->done = worker && ask->kind->concerns && !ask->kind->concerns(ask->question, worker->number);
  if (part->done || (worker && worker->stuck))
    return true;
  part->asked_ns = clock_ns(loop->clock);
  if (!worker)
    loop_defer(loop, &part->turn);
  part->away = !worker || mailbox_post(&loop->mailbox, &part->message);
  ask->away += part->away;
  return true;
}

void asks_begin(struct asks *asks, const struct ask_kind *kind, void *question, struct native_call *call) {
  size_t count = kind->here ? 1 : asks->threads->count;
  bool too_many = asks->waiting >= ASK_MOST, over = asks->threads->ended > 0;
  struct ask *ask = too_many || over ? NULL : calloc(1, sizeof *ask + count * sizeof ask->parts[0]);
  if (!ask) {
    if (kind->free_question)
      kind->free_question(question);
    ask_refuse(call, too_many || over ? 503 : 500,
               over       ? "moongate is stopping"
               : too_many ? "too many questions at a time; ask again"
                          : "no memory for the answer");
    return;
  }
  *ask = (struct ask){.asks = asks, .kind = kind, .question = question, .call = call, .count = count};
  ask->timer.on_expired = on_ask_patience_over;
  list_add_tail(&asks->all, &ask->node);
  asks->waiting++;
  native_call_on_cancel(call, on_asker_gone, ask);
  bool has_memory = true;
  for (size_t i = 0; i < count; i++)
    has_memory &= ask_one(ask, &ask->parts[i], kind->here ? NULL : &asks->threads->threads[i]->worker);
  if (!has_memory)
    atomic_store(&ask->given_up, true);
  /* Also when nobody can be asked it takes a turn of the loop: it is never answered within the asking. */
  loop_set_timer(asks->loop, &ask->timer, ask->away > 0 && has_memory ? ASK_PATIENCE_MS : 0);
}

bool ask_is_complete(const struct ask *ask) {
  bool complete = true;
  for (size_t i = 0; i < ask->count; i++)
    complete = complete && !ask->parts[i].away && ask->parts[i].done;
  return complete;
}

void ask_write_workers(const struct ask *ask, struct value *root) {
  clock_ms now = clock_now(ask->asks->loop->clock);
  struct value *list = value_set_table(root, "workers");
  for (size_t i = 0; i < ask->count; i++) {
    const struct ask_part *part = &ask->parts[i];
    const struct memory_of_one *memory = ask_memory_of(ask, part->worker);
    bool answered = !part->away && part->done && part->begun;
    if (!part->away && part->done && !part->begun)
      continue; /* it was not concerned */
    struct value *entry = value_set_table(list, NULL);
    value_set_number(entry, "number", part->worker ? part->worker->number : 0);
    value_set_boolean(entry, "answered", answered);
    value_set_boolean(entry, "away", part->away);
    if (!memory || !memory->has_said)
      continue;
    value_set_number(entry, "age", (double)(now - memory->at) / 1000);
    value_set_record(entry, ask->kind->brief, memory->brief);
  }
}

void asks_init(struct asks *asks, struct loop *loop, const struct threads *threads, void *context) {
  *asks = (struct asks){.loop = loop, .threads = threads, .context = context};
  list_init(&asks->all);
  list_init(&asks->memories);
}

void asks_deinit(struct asks *asks) {
  if (!asks->loop)
    return;
  LIST_FOREACH(node, &asks->all) {
    struct ask *ask = LIST_OWNER(node, struct ask, node);
    struct native_call *call = ask->call;
    loop_cancel_timer(asks->loop, &ask->timer);
    ask_free(ask);
    if (!call)
      continue;
    native_call_on_cancel(call, NULL, NULL);
    ask_refuse(call, 503, "moongate is stopping");
  }
  LIST_FOREACH(node, &asks->memories) {
    list_remove(node);
    free(LIST_OWNER(node, struct ask_memory, node));
  }
  *asks = (struct asks){.loop = NULL};
}
