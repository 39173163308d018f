/* SPDX-License-Identifier: MIT
 *
 * The watch: one message to each worker every `diagnose.every`, a sample once all have answered (or when the next look
 * is due), the thresholds; and the task that makes a snapshot. */
#include "reports/diagnose.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "reports/connections.h"

#include <errno.h>
#include <stdlib.h>

enum { EVERY_LEAST_MS = 100 };

static const struct diagnose_settings *settings_of(const struct diagnose *diagnose) {
  return &diagnose->instance->config.diagnose;
}

static const char *trigger_of(enum diagnose_cause cause) {
  static const char *const triggers[] = {
      [DIAGNOSE_SIGNAL] = "signal",
      [DIAGNOSE_CONNECTIONS] = "connections",
      [DIAGNOSE_SPIKE] = "spike",
  };
  _Static_assert(sizeof triggers / sizeof triggers[0] == DIAGNOSE_CAUSE_COUNT, "a word for each cause");
  _Static_assert(DIAGNOSE_CAUSE_COUNT <= 8, "a bit of to_diagnose for each cause");
  return triggers[cause];
}

static void on_captured(struct native_task *task, int status, const char *message);

static void start_next(struct runtime *runtime) {
  for (int cause = 0; cause < DIAGNOSE_CAUSE_COUNT && !runtime->is_diagnosing; cause++) {
    if (!(runtime->to_diagnose & 1 << cause))
      continue;
    runtime->to_diagnose &= (uint8_t) ~(1 << cause);
    char *words[] = {(char *)trigger_of((enum diagnose_cause)cause)};
    struct error error;
    runtime->is_diagnosing = true;
    runtime->diagnosing.on_ended = on_captured;
    if (native_start_words(&runtime->host, &runtime->diagnosing, "moongate.diagnose", "capture", 1, words, &error) == 0)
      continue;
    runtime->is_diagnosing = false;
    LOG(&runtime->log, LOG_ERROR, "diagnosing has failed", LOG_STRING("error", error.message));
  }
}

static void on_captured(struct native_task *task, int status, const char *message) {
  struct runtime *runtime = (struct runtime *)(void *)((char *)task - offsetof(struct runtime, diagnosing));
  runtime->is_diagnosing = false;
  if (status != 0)
    LOG(&runtime->log, LOG_ERROR, "diagnosing has failed", LOG_STRING("error", message ? message : "it was cut short"));
  start_next(runtime);
}

static bool is_paused(const struct diagnose_pause *pause, clock_ms now) {
  uint64_t ms = pause->ms > DIAGNOSE_PAUSE_MS ? pause->ms : DIAGNOSE_PAUSE_MS;
  return pause->has_last && now < pause->last_ms + ms;
}

void diagnose_begin(struct diagnose *diagnose, enum diagnose_cause cause) {
  if (!diagnose->instance || !diagnose->timer.on_expired)
    return;
  struct runtime *runtime = diagnose->instance->runtime;
  struct diagnose_pause *pause = &diagnose->pauses[cause];
  clock_ms now = clock_now(&runtime->clock);
  if (is_paused(pause, now)) {
    LOG(&runtime->log, LOG_INFO,
        "no snapshot: there was one less than 30 seconds ago; moongate diagnose makes one at once",
        LOG_STRING("trigger", trigger_of(cause)));
    return;
  }
  pause->has_last = true;
  pause->last_ms = now;
  runtime->to_diagnose |= (uint8_t)(1 << cause);
  start_next(runtime);
}

static struct diagnose_sample sum_up(const struct diagnose *diagnose) {
  struct diagnose_sample sample = {.time = clock_now(&diagnose->instance->runtime->clock)};
  uint64_t now_ns = clock_ns(&diagnose->instance->runtime->clock);
  for (size_t i = 0; i < diagnose->count; i++) {
    const struct diagnose_watch *watch = &diagnose->watches[i];
    const struct worker_stats *stats = &watch->last.stats;
    sample.open += stats->active;
    sample.connecting += stats->states[CONNECTION_CONNECTING];
    sample.accepted += stats->connections;
    sample.ended += stats->connections - stats->active;
    sample.silent += watch->asked;
    uint64_t silence = watch->asked ? now_ns - watch->asked_ns : 0;
    uint64_t lag = silence > watch->last.lag_ns ? silence : watch->last.lag_ns;
    if (lag > sample.lag_ns)
      sample.lag_ns = lag;
  }
  return sample;
}

/* A threshold that stays passed is told again, less and less often: the snapshots of the beginning are worth more. */
static void judge_one(struct diagnose *diagnose, enum diagnose_cause cause, bool passed, clock_ms now) {
  struct diagnose_pause *pause = &diagnose->pauses[cause];
  if (!passed) {
    pause->ms = 0;
    return;
  }
  if (is_paused(pause, now))
    return;
  uint64_t ms = pause->ms ? 2 * pause->ms : DIAGNOSE_PAUSE_MS;
  diagnose_begin(diagnose, cause);
  pause->ms = ms < DIAGNOSE_PAUSE_MOST ? ms : DIAGNOSE_PAUSE_MOST;
}

/* One that passes both is told as the first. */
static void diagnose_judge(struct diagnose *diagnose, const struct diagnose_sample *before,
                           const struct diagnose_sample *sample) {
  const struct diagnose_settings *settings = settings_of(diagnose);
  bool over = settings->connections > 0 && sample->open >= settings->connections;
  bool jumped = before && settings->spike > 0 && sample->open >= before->open + settings->spike;
  bool reported = over && !is_paused(&diagnose->pauses[DIAGNOSE_CONNECTIONS], sample->time);
  judge_one(diagnose, DIAGNOSE_CONNECTIONS, over, sample->time);
  if (!reported || !jumped)
    judge_one(diagnose, DIAGNOSE_SPIKE, jumped, sample->time);
}

static void take_sample(struct diagnose *diagnose) {
  struct diagnose_sample *sample = &diagnose->samples[diagnose->sampled % DIAGNOSE_SAMPLES];
  const struct diagnose_sample *before =
      diagnose->sampled > 0 ? &diagnose->samples[(diagnose->sampled - 1) % DIAGNOSE_SAMPLES] : NULL;
  *sample = sum_up(diagnose);
  diagnose->sampled++;
  if (diagnose->instance->phase == INSTANCE_READY)
    diagnose_judge(diagnose, before, sample);
}

static void on_looked(struct message *message, void *receiver) {
  struct diagnose_watch *watch = (struct diagnose_watch *)(void *)message;
  struct diagnose *diagnose = watch->owner;
  (void)receiver;
  watch->asked = false;
  watch->last = watch->sample;
  if (watch->last.lag_ns > watch->worst_ns)
    watch->worst_ns = watch->last.lag_ns;
  if (diagnose->missing > 0 && --diagnose->missing == 0 && diagnose->timer.on_expired)
    take_sample(diagnose);
}

/* On the worker's thread. */
static void on_diagnose_look(struct message *message, void *receiver) {
  struct diagnose_watch *watch = (struct diagnose_watch *)(void *)message;
  const struct worker *worker = receiver;
  worker_sample_take(&watch->sample, worker, watch->asked_ns, false);
  message->deliver = on_looked;
  mailbox_post(&watch->owner->instance->runtime->loop.mailbox, message);
}

static void ask_all(struct diagnose *diagnose) {
  for (size_t i = 0; i < diagnose->count; i++) {
    struct diagnose_watch *watch = &diagnose->watches[i];
    if (watch->asked)
      continue;
    watch->asked_ns = clock_ns(&diagnose->instance->runtime->clock);
    watch->message.deliver = on_diagnose_look;
    watch->asked = mailbox_post(&watch->worker->loop.mailbox, &watch->message);
    diagnose->missing += watch->asked;
  }
}

static void diagnose_set_timer(struct diagnose *diagnose, uint64_t ms) {
  loop_set_timer(&diagnose->instance->runtime->loop, &diagnose->timer, ms > EVERY_LEAST_MS ? ms : EVERY_LEAST_MS);
}

static void on_due(struct wheel_timer *timer) {
  struct diagnose *diagnose = (struct diagnose *)(void *)((char *)timer - offsetof(struct diagnose, timer));
  if (diagnose->missing > 0)
    take_sample(diagnose); /* of those that do answer */
  ask_all(diagnose);
  diagnose_set_timer(diagnose, settings_of(diagnose)->every_ms);
}

int diagnose_start(struct instance *instance) {
  struct diagnose *diagnose = instance->diagnose;
  size_t count = instance->threads.count;
  diagnose->watches = calloc(count, sizeof *diagnose->watches);
  if (!diagnose->watches)
    return -ENOMEM;
  diagnose->instance = instance;
  list_init(&diagnose->waiting);
  diagnose->count = count;
  diagnose->since_ms = instance->started_ms;
  diagnose->timer.on_expired = on_due;
  for (size_t i = 0; i < count; i++) {
    diagnose->watches[i].owner = diagnose;
    diagnose->watches[i].worker = &instance->threads.threads[i]->worker;
  }
  diagnose_reconfigure(diagnose);
  return 0;
}

void diagnose_stop(struct diagnose *diagnose) {
  if (!diagnose->instance)
    return;
  loop_cancel_timer(&diagnose->instance->runtime->loop, &diagnose->timer);
  diagnose->timer.on_expired = NULL;
  diagnose->instance->runtime->to_diagnose = 0;
  diagnose_keep_stop(diagnose);
}

void diagnose_deinit(struct diagnose *diagnose) {
  diagnose_stop(diagnose);
  free(diagnose->watches);
  blocking_unref(diagnose->keep_lost);
  *diagnose = (struct diagnose){.instance = NULL};
}

void diagnose_reconfigure(struct diagnose *diagnose) {
  if (!diagnose->instance || !diagnose->timer.on_expired)
    return;
  if (settings_of(diagnose)->every_ms > 0)
    diagnose_set_timer(diagnose, settings_of(diagnose)->every_ms);
  else
    loop_cancel_timer(&diagnose->instance->runtime->loop, &diagnose->timer);
}

static bool diagnose_step(struct ask_part *part) {
  struct diagnose_answer *answer = part->answer;
  if (!part->begun)
    worker_sample_take(&answer->sample, part->worker, part->asked_ns, true);
  return connections_step(&answer->found, part, part->ask->question, false);
}

static void diagnose_give_up(struct ask_part *part) {
  connection_walk_end(&((struct diagnose_answer *)part->answer)->found.walk);
}

static void diagnose_clear(void *answer) { selection_clear(&((struct diagnose_answer *)answer)->found.selection); }

void diagnose_ask(struct instance *instance, struct native_call *call) {
  static const struct ask_kind kind = {
      .answer_size = sizeof(struct diagnose_answer),
      .step = diagnose_step,
      .give_up = diagnose_give_up,
      .report = diagnose_report,
      .clear = diagnose_clear,
  };
  instance->diagnose->all = (struct selection_query){.type = &connection_record, .limit = SIZE_MAX};
  asks_begin(&instance->asks, &kind, &instance->diagnose->all, call);
}
