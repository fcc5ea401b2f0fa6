import { Module } from '@nestjs/common';
import { ChangeRecords } from './change-records.js';
import { ContainerWork } from './container-work.js';
import { ResizePerformer } from './resize-performer.js';
import { SliceChanges } from './slice-changes.js';

/** Changes of single slices, for the operations that are made of them. */
@Module({
  providers: [ChangeRecords, ContainerWork, ResizePerformer, SliceChanges],
  exports: [ContainerWork, ResizePerformer, SliceChanges],
})
export class SliceChangesModule {}
