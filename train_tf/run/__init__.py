"""One training, from its config to its SavedModel, whatever the model.

`task.train` is called by `unet_tf.train` and `cvae_tf.train`. The order of calls:

1. `config.resolve()` fills in the defaults that follow from other options.
2. `cluster.join` chooses the devices and meets the other workers, if there are any;
   `devices.set_up` sets precision and seed.
3. `folder.check_available` refuses a run folder that cannot be used, before data is
   read.
4. `Task(config)` loads the data; `Task.build` makes the compiled model.
5. `loop.Run` opens the run folder, `Run.fit` trains and saves a checkpoint per epoch,
   with the callbacks of `callbacks`.
6. `Task.results` computes the metrics of the test images, `report` draws the curves.
7. `Task.export` writes the SavedModel; `Run.write_results` writes results.json.
"""
