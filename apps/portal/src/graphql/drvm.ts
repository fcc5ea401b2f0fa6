import { graphql } from '@/gen/drvm';

export const DrvmsQuery = graphql(`
  query Drvms {
    drvms(first: 500) {
      nodes {
        id
        name
        tenant
        dvos
        state
        detail
        createdAt
        slices {
          id
          node
          cpu
          memoryMiB
          diskGiB
          state
          usedCpu
          usedMemoryMiB
          processes
        }
      }
    }
  }
`);

export const DrvmQuery = graphql(`
  query DrvmDetail($id: ID, $name: String) {
    drvm(id: $id, name: $name) {
      id
      name
      tenant
      dvos
      state
      detail
      createdAt
      generation
      slices {
        id
        node
        index
        isHome
        cpu
        ceilingCpu
        heldCpu
        memoryMiB
        diskGiB
        exclusive
        state
        isolation
        usedCpu
        usedMemoryMiB
        processes
      }
      operations(first: 20) {
        id
        kind
        state
        progress
        subject
        createdAt
        endedAt
      }
    }
  }
`);

export const ProcessesSubscription = graphql(`
  subscription Processes($drvm: ID!) {
    processes(drvm: $drvm) {
      pid
      ppid
      node
      state
      cpuMs
      memoryBytes
      command
      startedAt
      exitCode
      signal
    }
  }
`);

export const OutputSubscription = graphql(`
  subscription Output($drvm: ID!, $pid: Int!, $offset: Float) {
    output(drvm: $drvm, pid: $pid, offset: $offset) {
      stream
      offset
      text
      exitCode
      signal
    }
  }
`);

export const PlanDrvmMutation = graphql(`
  mutation PlanDrvm($input: CreateDrvmInput!) {
    planDrvm(input: $input) {
      id
      steps {
        action
        node
        cpu
        memoryMiB
        diskGiB
        reason
      }
    }
  }
`);

export const CreateDrvmMutation = graphql(`
  mutation CreateDrvm($input: CreateDrvmInput!) {
    createDrvm(input: $input) {
      drvm {
        id
        name
      }
      operation {
        id
      }
    }
  }
`);

export const StartDrvmMutation = graphql(`
  mutation StartDrvm($id: ID!) {
    startDrvm(id: $id) {
      id
    }
  }
`);

export const StopDrvmMutation = graphql(`
  mutation StopDrvm($id: ID!) {
    stopDrvm(id: $id) {
      id
    }
  }
`);

export const DeleteDrvmMutation = graphql(`
  mutation DeleteDrvm($id: ID!) {
    deleteDrvm(id: $id) {
      id
    }
  }
`);

export const RunProgramMutation = graphql(`
  mutation RunProgram($drvm: ID!, $input: RunProgramInput!) {
    runProgram(drvm: $drvm, input: $input) {
      pid
      node
    }
  }
`);

export const KillProcessMutation = graphql(`
  mutation KillProcess($drvm: ID!, $pid: Int!, $signal: String) {
    killProcess(drvm: $drvm, pid: $pid, signal: $signal)
  }
`);

export const MigrateProcessMutation = graphql(`
  mutation MigrateProcess($drvm: ID!, $pid: Int!, $to: String!) {
    migrateProcess(drvm: $drvm, pid: $pid, to: $to) {
      id
      state
    }
  }
`);
