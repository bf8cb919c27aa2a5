// The examples: a program each, with its tables.

import historyAbout from "../examples/history.json";
import history from "../examples/history.flow";
import joinAbout from "../examples/join.json";
import join from "../examples/join.flow";
import qualityAbout from "../examples/quality.json";
import quality from "../examples/quality.flow";
import sensorAbout from "../examples/sensor.json";
import sensor from "../examples/sensor.flow";
import windowsAbout from "../examples/windows.json";
import windows from "../examples/windows.flow";

const example = (text, about) => ({ title: about.title, text, tables: about.tables, epochRows: about.epoch_rows ?? null, close: true });

export const examples = [
  example(sensor, sensorAbout), example(windows, windowsAbout), example(join, joinAbout), example(quality, qualityAbout), example(history, historyAbout),
];
