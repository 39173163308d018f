/* SPDX-License-Identifier: MIT
 *
 * Answers the questions of scripts (script/shared.h) with snapshots of all workers. */
#pragma once

#include <stdbool.h>

struct shared_question;
struct instance;
struct runtime;

/* From now on, until measure_stop(): the instance has its loader and its snapshots. */
void measure_start(struct runtime *runtime);

/* Questions that are under way are dropped, since those who asked have ended. Before the workers are released. Nothing
 * when it was not started. */
void measure_stop(struct runtime *runtime);

/* Answers a question that is asked on the control thread, for a moongate of specs (testing.c). When it has ended by
 * then the question is dropped, as who asked has. False: without memory, and nothing happens. */
bool measure_within(struct instance *instance, struct shared_question *question);
