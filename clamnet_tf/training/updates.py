"""Loop over optimizer steps, in the same way for every tf.distribute strategy, instead of Keras `fit`.

Keras 3 `fit` fails under MultiWorkerMirroredStrategy (its metrics, keras #20585) and works only through
private methods. Here a step is `strategy.run` of the trainer's `update` on distributed batches and one
`strategy.reduce` of what it logs.
"""

import tensorflow as tf

from clamnet_tf.input_pipeline.pipeline import Share
from clamnet_tf.training.workers import clear_loss

SUM = tf.distribute.ReduceOp.SUM


def updates(trainer, dataset, *, steps: int, asked_to_stop):
    """Train for `steps` steps.

    Args:
        trainer: StepTrainer, compiled, built in the scope of its strategy.
        dataset: callable, Share -> tf.data.Dataset of the parts of the batches that this process computes,
            from the first step on.
        steps: number of steps.
        asked_to_stop: callable; when it is true in any process, all of them stop after the same step.

    Yields:
        After each step, its sums, NumPy (2, terms) float32 as `StepTrainer.update` returns them, added over
        all replicas of all processes; and whether this was the last step on request.

    Raises:
        TrainingFailure: another process of the cluster is gone.
    """
    strategy, count = trainer.distribute_strategy, len(trainer.terms)
    update = tf.function(trainer.update, jit_compile=True) if trainer.jit_compile else trainer.update

    def part(context):
        here = context.num_replicas_in_sync // context.num_input_pipelines
        # Endless, so that no process has to ask the others in each step whether they have another batch.
        return dataset(Share(context.input_pipeline_id * here, here, context.num_replicas_in_sync)).repeat()

    @tf.function
    def step(batches, stop):
        def on_replica(batch):
            return tf.concat([tf.reshape(update(batch), [-1]), [stop]], axis=0)

        return strategy.reduce(SUM, strategy.run(on_replica, args=(next(batches),)), axis=None)

    batches = iter(strategy.distribute_datasets_from_function(part))
    for _ in range(steps):
        with clear_loss(strategy):
            result = step(batches, tf.constant(float(asked_to_stop()))).numpy()
        yield result[: 2 * count].reshape(2, count), result[-1] > 0
