"""One training, from its config to its SavedModel, whatever the model.

`task.train` is called by `unet_tf.train` and `cvae_tf.train`. The order of calls:

1. `cluster.join` chooses the devices and meets the other workers, if there are any;
   `devices.set_up` sets precision and seed.
2. `loop.check_run_folder` raises if the run folder cannot be used.
3. `Task(config)` resolves the config's defaults and loads the data; `Task.build` makes
   the compiled model.
4. `loop.Run` locks the run folder; `loop.fit` trains, saves a checkpoint per epoch, and
   calls the callbacks of `callbacks`.
5. `Task.results` computes the metrics of the test images; `report` draws the curves.
6. `Task.export` writes the SavedModel; `Run.write_results` writes results.json.
"""
