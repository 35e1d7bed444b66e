"""The page that shows what happened in a pretraining run, made from the files of its workdir alone."""
